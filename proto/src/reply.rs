//! What a worker tells the gateway that waits: the fate of one delivery, once it is committed, on the subject that the delivery
//! names (`replyTo`), over core NATS. Nothing depends on it: a reply that is lost costs its caller the wait.
//!
//! ```json
//! {"v":1,"runId":"…","outcome":"created"}
//! ```

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{RunId, dead_letter::Reason};

/// Subjects that a worker replies on begin so. On any other it says nothing: whoever can write to the queue could have it write
/// elsewhere, to the broker itself for one.
pub const SUBJECTS: &str = "_INBOX.";
/// Longest subject, in bytes.
const MAX_SUBJECT: usize = 128;

const VERSION: u64 = 1;

/// The fate of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Its run was made.
    Created,
    /// Its run was there, of the same playbook, target and payload.
    Duplicate,
    /// It became a dead letter, now or before.
    Buried(Reason),
}

impl Outcome {
    /// The stable code: `created`, `duplicate` or that of the reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Duplicate => "duplicate",
            Self::Buried(reason) => reason.as_str(),
        }
    }
}

/// A reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    v: u64,
    /// The run that the delivery's key names.
    pub run_id: RunId,
    /// What became of it.
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub outcome: Outcome,
}

impl Reply {
    /// About this run.
    pub const fn new(run_id: RunId, outcome: Outcome) -> Self {
        Self { v: VERSION, run_id, outcome }
    }

    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and words, into memory")
    }

    /// Reads a message; none where it is no reply, or one that only newer gateways understand.
    pub fn decode(message: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(message).ok().filter(|reply| reply.v == VERSION)
    }
}

/// Whether a worker may reply on this subject.
pub fn is_subject(subject: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    subject.len() <= MAX_SUBJECT && subject.strip_prefix(SUBJECTS).is_some_and(|rest| rest.split('.').all(word))
}

fn write<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome.as_str())
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
    Ok(match String::deserialize(deserializer)?.as_str() {
        "created" => Outcome::Created,
        "duplicate" => Outcome::Duplicate,
        reason => Outcome::Buried(reason.parse().map_err(serde::de::Error::custom)?),
    })
}
