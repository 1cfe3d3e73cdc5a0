//! The other half of check 11: whether a payload is as its playbook's input schema says.

use bytes::Bytes;
use proto::Payload;
use schema::Mode;
use tokio::task::spawn_blocking;

use crate::auth::Caller;
use crate::handler::Gateway;
use crate::refusal::Refusal;

/// Longer payloads, in bytes, are judged on a thread of their own: others' deliveries wait for this one.
const AT_ONCE: usize = 16 * 1024;

/// Holds a payload, which is all of `body` or a part of it, to the playbook's schema, where it has one.
pub(crate) async fn check(
    gateway: &Gateway,
    caller: &Caller,
    body: &Bytes,
    payload: &Payload<'_>,
) -> Result<(), Refusal> {
    let Some(input) = &caller.playbook().input else { return Ok(()) };
    let Some(schema) = &input.schema else { return Ok(()) };
    let checked = if payload.as_str().len() <= AT_ONCE {
        schema.check(payload)
    } else {
        let (schema, body) = (std::sync::Arc::clone(schema), body.clone());
        let judged = spawn_blocking(move || Payload::parse(&body).map(|payload| schema.check(&payload)));
        judged.await.map_err(|_| Refusal::Internal("an input schema could not be asked"))??
    };
    let Err(issues) = checked else { return Ok(()) };
    gateway.metrics.count_off_schema(input.mode);
    match input.mode {
        Mode::Enforce => Err(Refusal::OffSchema(issues)),
        Mode::Shadow => {
            let playbook = caller.name();
            if gateway.off_schema.is_new(&playbook) {
                // By the schema's own places and words: the payload's are not for logs (I7).
                let rules: Vec<_> = issues.iter().map(|issue| issue.rule.as_str()).collect();
                tracing::warn!(
                    playbook,
                    ?rules,
                    "a payload is not as the input schema in shadow says; a line a minute at most"
                );
            }
            Ok(())
        }
    }
}
