//! What the gateways make of a Redis that fails.

use uuid::Uuid;

use crate::world::eventually;
use crate::{Playbook, World};

impl World {
    /// Commands to Redis that deliveries of the first gateway have ever waited for.
    pub async fn waits_for_redis(&self) -> f64 {
        let of = async |command| {
            self.metric("gateway-1", &format!("runlatch_gateway_redis_commands_total{{command=\"{command}\"}}")).await
        };
        of("claim").await.expect("a number") + of("look_up").await.expect("a number")
    }

    /// Waits until the first gateway's breaker is `closed`, `read_only` or `open`.
    pub async fn breaker_is(&self, state: &str) {
        let name = format!("runlatch_gateway_redis_breaker{{state=\"{state}\"}}");
        let reached = async || (self.metric("gateway-1", &name).await == Some(1.0)).then_some(());
        eventually(&format!("the breaker is {state}"), reached).await;
    }

    /// How often it has become so.
    pub async fn breaker_became(&self, state: &str) -> f64 {
        let name = format!("runlatch_gateway_redis_breaker_changes_total{{state=\"{state}\"}}");
        self.metric("gateway-1", &name).await.unwrap_or(0.0)
    }

    /// Deliveries that went on without a check, for this reason.
    pub async fn unchecked(&self, reason: &str) -> f64 {
        let name = format!("runlatch_gateway_checks_deferred_total{{reason=\"{reason}\"}}");
        self.metric("gateway-1", &name).await.unwrap_or(0.0)
    }

    /// Waits until the breaker has closed by itself and a new key is claimed, marked and held against another payload.
    pub async fn keys_are_checked(&self, playbook: &Playbook) {
        self.breaker_is("closed").await;
        let key = format!("checked-{}", Uuid::new_v4());
        let created = self.send(playbook.delivery(&key)).await.created();
        assert!(!created.deferred, "the breaker is closed, but the key was not checked");
        self.marked(created.run).await;
        self.send(playbook.delivery(&key).body("{}")).await.conflicts_with(created.run);
    }
}
