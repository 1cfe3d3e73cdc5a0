//! What Redis is good for now, judged by the commands that are really sent.
//!
//! ```text
//!                  a write was refused
//!        Closed ───────────────────────▶ ReadOnly
//!          │  ▲                            │  ▲  │
//!          │  └── probe: it takes writes ──┘  │  │
//!          │  ▲                               │  │
//!          │  └── probe: it takes writes ──┐  │  │
//!          │                               │  │  │
//!          │       probe: it only reads ───┼──┘  │
//!          └───────────────────────────▶  Open ◀─┘
//!             lost, silent, or refuses to read
//! ```
//!
//! Closed: keys are claimed. ReadOnly: they are looked at. Open: Redis is not asked at all. A delivery finds the
//! connection in the state, so that in a state without one it cannot wait for Redis, and a failure counts against the
//! connection that it happened on and no other. Only the probe connects; only a write that worked closes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::link::{Fault, Link};
use crate::metrics::Metrics;

/// What may be asked of Redis, and how.
pub(super) enum State {
    /// Everything.
    Closed(Link),
    /// Reads; it refuses writes, with this code (`OOM`, `READONLY`, `MISCONF` …).
    ReadOnly(Link, String),
    /// Nothing, for this reason.
    Open(String),
}

/// A state without what belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Closed,
    ReadOnly,
    Open,
}

/// What a command does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

pub(super) struct Breaker {
    state: ArcSwap<State>,
    /// Wakes the probe.
    doubt: Notify,
    metrics: Arc<Metrics>,
}

impl Breaker {
    /// Open, until the first probe.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let state = ArcSwap::from_pointee(State::Open("not connected yet".to_owned()));
        Self { state, doubt: Notify::new(), metrics }
    }

    /// The state now. To be judged by it, a command's fault must come back with the state that it was sent in.
    pub(super) fn now(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Draws the conclusion from a command's answer, and returns it.
    pub(super) fn judged<T>(&self, sent: &Arc<State>, access: Access, answer: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &answer {
            self.blame(sent, access, fault);
        }
        answer
    }

    fn blame(&self, sent: &Arc<State>, access: Access, fault: &Fault) {
        let Some(link) = sent.reads() else { return };
        match fault {
            Fault::Late if link.is_silent() => self.change(sent, State::Open("answers too late".to_owned())),
            // Of a connection that is gone nothing more is to be learnt.
            Fault::Lost => self.change(sent, State::Open("the connection was lost".to_owned())),
            Fault::Refused(code) if access == Access::Write => {
                self.change(sent, State::ReadOnly(link.again(), code.clone()));
            }
            Fault::Refused(code) => self.change(sent, State::Open(format!("refuses to read ({code})"))),
            Fault::Late | Fault::Foreign => {}
        }
    }

    /// Replaces `old`, unless that was replaced meanwhile: what came after it knows better.
    pub(super) fn change(&self, old: &Arc<State>, new: State) {
        let new = Arc::new(new);
        let found = self.state.compare_and_swap(old, Arc::clone(&new));
        if !Arc::ptr_eq(&found, old) || old.kind() == new.kind() {
            return;
        }
        match &*new {
            State::Closed(_) => tracing::info!("redis: takes writes; keys are checked"),
            State::ReadOnly(_, code) => tracing::warn!(code, "redis: refuses writes; only known keys are checked"),
            State::Open(why) => tracing::warn!(why, "redis: not asked any more until it takes writes"),
        }
        self.metrics.redis.breaker_became(new.kind());
        self.doubt.notify_one();
    }

    /// Returns when the state has changed since the last call.
    pub(super) async fn doubted(&self) {
        self.doubt.notified().await;
    }
}

impl State {
    /// The connection to read from.
    pub(super) fn reads(&self) -> Option<&Link> {
        match self {
            Self::Closed(link) | Self::ReadOnly(link, _) => Some(link),
            Self::Open(_) => None,
        }
    }

    /// The connection to write to.
    pub(super) fn writes(&self) -> Option<&Link> {
        match self {
            Self::Closed(link) => Some(link),
            Self::ReadOnly(..) | Self::Open(_) => None,
        }
    }

    /// What is wrong, for operators.
    pub(super) fn trouble(&self) -> Option<String> {
        match self {
            Self::Closed(_) => None,
            Self::ReadOnly(_, code) => Some(format!("redis: refuses writes ({code}); only known keys are checked")),
            Self::Open(why) => Some(format!("redis: {why}; no key is checked")),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Closed(_) => Kind::Closed,
            Self::ReadOnly(..) => Kind::ReadOnly,
            Self::Open(_) => Kind::Open,
        }
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::ReadOnly, Self::Open];

    /// The metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ReadOnly => "read_only",
            Self::Open => "open",
        }
    }
}
