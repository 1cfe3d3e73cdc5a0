//! The other half of check 11: whether a payload is as its playbook's input schema says.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::{Payload, PlaybookId};
use schema::{InputSchema, Issue, Mode};

use crate::auth::Caller;
use crate::handler::Gateway;
use crate::refusal::Refusal;

/// What may take more than so many looks at a value, at most, is judged aside: others' deliveries wait for this one. Half a
/// millisecond or so.
const AT_ONCE: usize = 256 * 1024;
/// How often a playbook's payloads in shadow are worth a line of the log.
const SAMPLE: Duration = Duration::from_secs(60);
/// Playbooks of which that is remembered.
const PLAYBOOKS: usize = 10_000;

/// Which payloads in shadow are told of.
#[derive(Default)]
pub(crate) struct Samples(Mutex<HashMap<PlaybookId, Instant>>);

impl Samples {
    fn wants(&self, playbook: PlaybookId) -> bool {
        let now = Instant::now();
        // Never left half changed.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(&playbook).is_some_and(|last| now.duration_since(*last) < SAMPLE) {
            return false;
        }
        if last.len() >= PLAYBOOKS {
            last.clear();
        }
        last.insert(playbook, now);
        true
    }
}

/// Holds a payload, which is all of `body` or a part of it, to the playbook's schema, where it has one.
pub(crate) async fn check(
    gateway: &Gateway,
    caller: &Caller,
    body: &Bytes,
    payload: &Payload<'_>,
) -> Result<(), Refusal> {
    let Some(input) = &caller.playbook().input else { return Ok(()) };
    let Some(schema) = &input.schema else { return Ok(()) };
    let checked = if schema.effort(payload.as_str().len()) <= AT_ONCE {
        judge(schema, payload)
    } else {
        let (schema, body) = (Arc::clone(schema), body.clone());
        gateway.aside.run(move || judge(&schema, &Payload::parse(&body)?)).await?
    };
    let issues = match checked {
        Ok(()) => return Ok(()),
        Err(Refusal::OffSchema(issues)) => issues,
        Err(refusal) => return Err(refusal),
    };
    gateway.metrics.count_off_schema(input.mode);
    match input.mode {
        Mode::Enforce => Err(Refusal::OffSchema(issues)),
        Mode::Shadow => {
            if gateway.samples.wants(caller.playbook().id) {
                // By the schema's own places and words: the payload's are not for logs (I7).
                let rules: Vec<_> = issues.iter().map(|issue: &Issue| issue.rule.as_str()).collect();
                let playbook = caller.name();
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

/// A fault of the validator's is one delivery's, and its caller is told.
fn judge(schema: &InputSchema, payload: &Payload<'_>) -> Result<(), Refusal> {
    match catch_unwind(AssertUnwindSafe(|| schema.check(payload))) {
        Ok(checked) => checked.map_err(Refusal::OffSchema),
        Err(_) => Err(Refusal::Internal("an input schema could not be asked")),
    }
}
