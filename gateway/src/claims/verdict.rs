//! What a claim means for the delivery at hand.

use proto::claim::State;
use proto::{Claim, Fingerprint, StreamEpoch, Timestamp};

use super::{Found, Unchecked};

/// How to go on with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key is ours now: publish, answer 202.
    New,
    /// The same delivery was claimed before, but nobody can tell that it was published to the stream that exists:
    /// publish it again, answer 200. Nobody waits for, polls or trusts the first owner (I6).
    Help(Timestamp),
    /// The same delivery is in the stream, or was: answer 200, leave the queue alone.
    Replay(Timestamp),
    /// The key names another payload or target (I4).
    Conflict,
    /// Redis decides nothing: publish and let Postgres' unique index decide (I5), or refuse, where that was chosen.
    Deferred(Unchecked),
}

/// Judges the answer to a claim, or to a look-up that claimed nothing, made while the stream of `epoch` was known.
pub fn judge(found: Found, fingerprint: &Fingerprint, epoch: StreamEpoch) -> Verdict {
    match found {
        Found::Absent => Verdict::New,
        Found::Unknown(why) => Verdict::Deferred(why),
        Found::Held(claim) if !claim.is_of(fingerprint) => Verdict::Conflict,
        Found::Held(claim) if is_published(&claim, epoch) => Verdict::Replay(claim.accepted_at),
        Found::Held(claim) => Verdict::Help(claim.accepted_at),
    }
}

/// Whether what holds the key was published to the stream that exists. A mark from another stream says nothing about this
/// one, and an unknown stream is equal to none.
pub(crate) fn is_published(claim: &Claim, epoch: StreamEpoch) -> bool {
    claim.state == State::Published && claim.epoch == epoch && epoch != StreamEpoch::UNKNOWN
}

#[cfg(test)]
mod tests {
    use proto::PlaybookId;

    use super::*;

    const EPOCH: StreamEpoch = StreamEpoch(7);
    const OURS: Fingerprint = Fingerprint([1; 32]);

    fn held(state: State, fingerprint: Fingerprint, epoch: StreamEpoch) -> Found {
        Found::Held(Claim {
            state,
            fingerprint: fingerprint.short(),
            accepted_at: then(),
            playbook: PlaybookId(uuid::Uuid::nil()),
            epoch,
            queued: None,
        })
    }

    fn then() -> Timestamp {
        Timestamp::from_millis(1).expect("small enough")
    }

    /// The claim table, row by row.
    #[test]
    fn table() {
        let theirs = Fingerprint([2; 32]);
        let other = StreamEpoch(8);
        for (found, verdict) in [
            (Found::Absent, Verdict::New),
            (held(State::Claimed, OURS, EPOCH), Verdict::Help(then())),
            (held(State::Claimed, OURS, other), Verdict::Help(then())),
            (held(State::Published, OURS, other), Verdict::Help(then())),
            (held(State::Published, OURS, StreamEpoch::UNKNOWN), Verdict::Help(then())),
            (held(State::Published, OURS, EPOCH), Verdict::Replay(then())),
            (held(State::Claimed, theirs, EPOCH), Verdict::Conflict),
            (held(State::Published, theirs, EPOCH), Verdict::Conflict),
            (held(State::Published, theirs, other), Verdict::Conflict),
            (Found::Unknown(Unchecked::Open), Verdict::Deferred(Unchecked::Open)),
        ] {
            assert_eq!(judge(found.clone(), &OURS, EPOCH), verdict, "{found:?}");
        }
    }

    #[test]
    fn an_unknown_stream_confirms_no_mark() {
        let found = held(State::Published, OURS, StreamEpoch::UNKNOWN);
        assert_eq!(judge(found, &OURS, StreamEpoch::UNKNOWN), Verdict::Help(then()));
    }
}
