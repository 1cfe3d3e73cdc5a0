//! All that can happen, a step each. A process may die between any two.

use crate::delivery::{Delivery, Target};
use crate::gateway::{Asked, Gateway, Request};
use crate::queue::{Message, Sequence};
use crate::redis::Claim;
use crate::worker::Hand;

/// One atomic step. It names what it is about by its content, so that a list of steps can be read by itself.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Step {
    /// A sender sends; the gateway claims the key.
    Arrive(Gateway, Delivery, Target, Asked),
    /// A message leaves and is stored.
    Publish(Request, Option<Request>),
    /// Its PubAck arrives, and the caller is answered.
    PubAck(Request),
    /// Its PubAck arrives, and the gateway dies before it answers, or the caller has gone.
    PubAckUntold(Request),
    /// A caller gets 503, or nothing.
    Fail(Request),
    /// A mark is written.
    Mark(Claim),
    /// A gateway notices which stream there is.
    Learn(Gateway),
    /// A gateway dies.
    CrashGateway(Gateway),
    /// Only in a mutant: a request need not wait any longer.
    OwnerPublished(Request),

    /// A worker takes a message.
    Pull(usize, Sequence, Message),
    /// A worker is given a message that another has in hand.
    Redeliver(usize, Sequence, Message),
    /// Statement 1, or the rest of it.
    Insert(usize, Hand),
    /// Statement 2.
    LookUp(usize, Hand),
    /// COMMIT.
    Commit(usize, Hand),
    /// Ack.
    Ack(usize, Hand),
    /// A worker dies.
    CrashWorker(usize, Hand),

    /// Redis is emptied.
    Forget,
    /// Redis comes back with what it held before: a replica that lagged, an old snapshot.
    Restore(Claim),
    /// The stream is lost and made anew.
    LoseStream,
    /// Only in a mutant: a message is lost, and the stream is not.
    LoseMessage(Sequence),
    /// The first target is deleted.
    TargetGoes,
    /// It is there again, under its old id.
    TargetReturns,
    /// An operator makes a run of a dead letter.
    Replay(Delivery),
}

impl Step {
    /// True of what a system that is left alone does until it rests.
    pub fn leads_on(&self) -> bool {
        match self {
            Self::Publish(..)
            | Self::PubAck(_)
            | Self::OwnerPublished(_)
            | Self::Pull(..)
            | Self::Insert(..)
            | Self::LookUp(..)
            | Self::Commit(..)
            | Self::Ack(..) => true,
            Self::Arrive(..)
            | Self::PubAckUntold(_)
            | Self::Fail(_)
            | Self::Mark(_)
            | Self::Learn(_)
            | Self::CrashGateway(_)
            | Self::Redeliver(..)
            | Self::CrashWorker(..)
            | Self::Forget
            | Self::Restore(_)
            | Self::LoseStream
            | Self::LoseMessage(_)
            | Self::TargetGoes
            | Self::TargetReturns
            | Self::Replay(_) => false,
        }
    }
}
