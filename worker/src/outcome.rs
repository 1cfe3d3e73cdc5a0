//! What can become of a delivery, and what then becomes of its message.

use std::borrow::Cow;

use proto::{dead_letter::Reason, reply};

/// The end of one delivery, or of a message that cannot be read as deliveries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Its run was inserted by this transaction.
    Created,
    /// Its run is there, with the same fingerprint.
    Duplicate,
    /// The run of its key is there, with another fingerprint.
    Conflict,
    /// Playbook, project or template has gone since it was accepted.
    TargetNotFound,
    /// Postgres refuses this very row, with this SQLSTATE.
    Refused(String),
    /// No envelope; where it fails to be one.
    Malformed(String),
    /// Begun this often by a worker that did not live to settle it.
    Poison(i32),
    /// It ended as a dead letter before; why it did.
    Buried(String),
    /// An envelope of this version, which only newer workers read.
    TooNew(u64),
}

/// What the worker does about an [`Outcome`].
pub(crate) enum Then<'a> {
    /// Ack.
    Ack,
    /// Write a dead letter with a reason and a detail (for people; never content, I7), then ack.
    Bury(Reason, Cow<'a, str>),
    /// Neither: another worker shall have it.
    PutBack,
}

impl Outcome {
    /// The one place where it is decided how a message leaves the queue.
    pub(crate) fn then(&self) -> Then<'_> {
        match self {
            Self::Created | Self::Duplicate | Self::Buried(_) => Then::Ack,
            Self::Conflict => {
                Then::Bury(Reason::IdempotencyConflict, "the key's run has another payload or target".into())
            }
            Self::TargetNotFound => Then::Bury(
                Reason::TargetNotFound,
                "playbook, project or template is no longer in the organization".into(),
            ),
            Self::Refused(state) => {
                Then::Bury(Reason::DataRefused, format!("PostgreSQL refused the row: SQLSTATE {state}").into())
            }
            Self::Malformed(place) => Then::Bury(Reason::MalformedMessage, place.as_str().into()),
            Self::Poison(attempts) => {
                Then::Bury(Reason::PoisonMessage, format!("begun {attempts} times alone and never finished").into())
            }
            Self::TooNew(_) => Then::PutBack,
        }
    }

    /// What the gateway that waits for it is told; none for what is no delivery's own, or not the end.
    pub(crate) fn reply(&self) -> Option<reply::Outcome> {
        match (self, self.then()) {
            (_, Then::Bury(reason, _)) => Some(reply::Outcome::Buried(reason)),
            (Self::Created, _) => Some(reply::Outcome::Created),
            (Self::Duplicate, _) => Some(reply::Outcome::Duplicate),
            (Self::Buried(reason), _) => reason.parse().ok().map(reply::Outcome::Buried),
            _ => None,
        }
    }

    /// Label of the metric that counts it, and where it is a dead letter its reason.
    pub(crate) fn label(&self) -> Cow<'static, str> {
        match (self, self.then()) {
            (_, Then::Bury(reason, _)) => reason.as_str().into(),
            (Self::Created, _) => "created".into(),
            (Self::Buried(reason), _) => reason.clone().into(),
            (Self::TooNew(_), _) => "unsupported_version".into(),
            (_, _) => "duplicate".into(),
        }
    }
}
