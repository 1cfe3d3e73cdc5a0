//! Processes that die where a test wants them to: `ops/src/kill.rs`, told by a file in the stack's directory.

use std::fs;
use std::path::PathBuf;

use local::{Builder, Extra};

use crate::World;
use crate::world::eventually;

/// Said where the tests cannot work.
pub const IMMORTAL: &str = "built without kill points. Type: cargo build --workspace --bins --features kill-points";

/// Which processes an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Any gateway.
    Gateway,
    /// Any worker.
    Worker,
}

/// Lets gateways and workers, which are given this besides, be killed by [`World::doom`].
pub fn mortal(builder: Builder, gateway: Extra, worker: Extra) -> Builder {
    let told = |extra: Extra, side: Side| extra.env("RUNLATCH_KILL_POINT", format!("@{}", side.file()));
    builder.gateway(told(gateway, Side::Gateway)).worker(told(worker, Side::Worker))
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Gateway => "gateway",
            Side::Worker => "worker",
        }
    }

    /// From the stack's directory, which its processes run in.
    fn file(self) -> String {
        format!("{}.kill-point", self.name())
    }
}

impl World {
    /// Has the first process of this side that gets there die at a kill point: `claimed`, `sent:3`, `pause:marking`.
    pub fn doom(&self, side: Side, order: &str) {
        for process in self.stack.processes() {
            let armed = || self.stack.log(&process.name).contains("a kill point is armed");
            assert!(!process.name.starts_with(side.name()) || armed(), "{}: {IMMORTAL}", process.name);
        }
        assert!(!self.order(side).exists() && !self.taken(side).exists(), "an order is still there");
        let draft = self.order(side).with_extension("draft");
        fs::write(&draft, order).expect("writes");
        // All at once: half an order is none.
        fs::rename(draft, self.order(side)).expect("renames");
    }

    /// Waits until an order was obeyed.
    pub async fn doomed(&self, side: Side) {
        let what = format!("a {} reaches its kill point", side.name());
        eventually(&what, async || fs::remove_file(self.taken(side)).ok()).await;
    }

    fn order(&self, side: Side) -> PathBuf {
        self.stack.directory().join(side.file())
    }

    fn taken(&self, side: Side) -> PathBuf {
        self.order(side).with_extension("taken")
    }
}
