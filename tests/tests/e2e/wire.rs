//! The wire: what a network does to a system whose every process is well. Between gateways or workers and each server lies
//! one that fails as it is told; the tests' own connections go past it.

mod callers;
mod faults;
mod lost_answers;
mod reconnect;
mod sender;
mod unanswered;

use std::time::Duration;

use harness::{Playbook, World, eventually};
use local::{Builder, Extra};

/// Waits for acknowledgements and for signs of life are short, since here most of them are in vain.
fn impatient(builder: Builder) -> Builder {
    builder
        .wire(true)
        .gateway(Extra::new().env("RUNLATCH_PUBLISH_TIMEOUT", "1s").env("RUNLATCH_REDIS_TIMEOUT", "250ms"))
        .worker(Extra::new().env("RUNLATCH_ACK_WAIT", "1s").env("RUNLATCH_MAX_HOLD", "4s"))
}

/// Waits until every gateway and worker finds nothing wrong, by itself, and every key is checked again.
async fn all_well(world: &World, playbook: &Playbook) {
    for gateway in 0..world.stack.urls().len() {
        eventually("keys are checked", async || {
            let key = format!("check-{}", uuid::Uuid::new_v4());
            let answer = world.send(playbook.delivery(&key).gateway(gateway)).await;
            (answer.status != 503 && !answer.created().deferred).then_some(())
        })
        .await;
    }
    for process in world.stack.processes() {
        let name = process.name;
        if process.ops_port.is_some() {
            let well = async || (world.ops(&name, "/readyz").await == (200, "ready\n".to_owned())).then_some(());
            eventually(&format!("{name} is well"), well).await;
        }
    }
}

/// The longest that a caller may be kept waiting, whatever is broken.
const HUNG: Duration = Duration::from_secs(15);
