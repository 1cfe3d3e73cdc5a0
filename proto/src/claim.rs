//! What Redis remembers of a key.
//!
//! ```text
//!            SET NX GET                 PubAck, then SET XX KEEPTTL
//!  (absent) ───────────▶ Claimed ─────────────────────────────────▶ Published
//!      ▲                    │                                           │
//!      └──── the window ends, or Redis is emptied: the run id stays ────┘
//! ```
//!
//! A claim is an accelerator, never the authority (I5): a lost one costs a second message in the queue and no more.

use uuid::Uuid;

use crate::{Fingerprint, PlaybookId, RunId, StreamEpoch, Timestamp};

/// How far the delivery that holds the key has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Somebody claimed the key. Its owner may be in flight, or dead.
    Claimed,
    /// A message with this delivery was acknowledged by the stream of the claim's epoch.
    Published,
}

/// Value of the Redis key [`Claim::redis_key`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// How far the delivery has got.
    pub state: State,
    /// First half of its [`Fingerprint`].
    pub fingerprint: [u8; 16],
    /// When it was first accepted; every replay repeats it.
    pub accepted_at: Timestamp,
    /// The playbook it was sent to, for whoever reads claims by hand.
    pub playbook: PlaybookId,
    /// The stream that the gateway knew when it claimed, or *before* it published.
    pub epoch: StreamEpoch,
}

/// The value under the key is no claim of a version known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a claim of a known version")]
pub struct Unreadable;

const VERSION: u8 = 1;

impl Claim {
    /// Length of an encoded claim: version, state, fingerprint, accepted-at (ms), playbook, epoch (µs); big-endian.
    /// Binary, because a busy day keeps tens of millions of them.
    pub const LEN: usize = 1 + 1 + 16 + 8 + 16 + 8;

    /// Length of a key: `rl:` and the run id.
    pub const KEY_LEN: usize = 3 + 36;

    /// Where the claim of a run is kept.
    pub fn redis_key(run: RunId) -> [u8; Self::KEY_LEN] {
        let mut key = *b"rl:00000000-0000-0000-0000-000000000000";
        run.0.hyphenated().encode_lower(&mut key[3..]);
        key
    }

    /// True if the delivery that holds the key is the one with this fingerprint.
    pub fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == fingerprint.short()
    }

    /// The bytes to store.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = VERSION;
        bytes[1] = match self.state {
            State::Claimed => b'c',
            State::Published => b'p',
        };
        bytes[2..18].copy_from_slice(&self.fingerprint);
        bytes[18..26].copy_from_slice(&self.accepted_at.as_millis().to_be_bytes());
        bytes[26..42].copy_from_slice(self.playbook.0.as_bytes());
        bytes[42..50].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`Unreadable`] for any other version, length or state. Such a key must be treated as if Redis were down, not
    /// as absent: a newer gateway may own it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().map_err(|_| Unreadable)?;
        if bytes[0] != VERSION {
            return Err(Unreadable);
        }
        let state = match bytes[1] {
            b'c' => State::Claimed,
            b'p' => State::Published,
            _ => return Err(Unreadable),
        };
        Ok(Self {
            state,
            fingerprint: field(bytes, 2),
            accepted_at: Timestamp::from_millis(u64::from_be_bytes(field(bytes, 18))).map_err(|_| Unreadable)?,
            playbook: PlaybookId(Uuid::from_bytes(field(bytes, 26))),
            epoch: StreamEpoch(u64::from_be_bytes(field(bytes, 42))),
        })
    }
}

fn field<const N: usize>(bytes: &[u8; Claim::LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}
