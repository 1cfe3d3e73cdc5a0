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

use arrayvec::ArrayVec;
use uuid::Uuid;

use crate::{Fingerprint, IdempotencyKey, PlaybookId, ProjectId, RunId, StreamEpoch, TemplateId, Timestamp};

/// How far the delivery that holds the key has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Somebody claimed the key. Its owner may be in flight, or dead.
    Claimed,
    /// A message with this delivery was acknowledged by the stream of the claim's epoch.
    Published,
}

/// Value of the Redis key [`Claim::redis_key`].
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// What run status tells of it while it is queued. None in a claim of version 1, which had no room for it.
    pub queued: Option<Queued>,
}

/// What is known of a delivery besides, until its run is there to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Queued {
    /// Project as resolved.
    pub project: ProjectId,
    /// Template as resolved.
    pub template: TemplateId,
    /// The caller's key.
    pub key: IdempotencyKey,
}

/// The value under the key is no claim of a version known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a claim of a known version")]
pub struct Unreadable;

/// The version of a claim that says what is queued, and of one that does not.
const VERSION: u8 = 2;
const BARE: u8 = 1;

impl Claim {
    /// Length of a claim of version 1: version, state, fingerprint, accepted-at (ms), playbook, epoch (µs); big-endian.
    /// Binary, because a busy day keeps tens of millions of them.
    pub const BARE_LEN: usize = 1 + 1 + 16 + 8 + 16 + 8;

    /// Where the key begins in a claim of version 2, which goes on with project and template; the rest of it is the key.
    const KEY: usize = Self::BARE_LEN + 16 + 16;

    /// Length of the longest claim.
    pub const MAX_LEN: usize = Self::KEY + IdempotencyKey::MAX_LEN;

    /// Length of a Redis key: `rl:` and the run id.
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
    pub fn encode(&self) -> Encoded {
        let mut fixed = [0; Self::KEY];
        fixed[0] = if self.queued.is_some() { VERSION } else { BARE };
        fixed[1] = match self.state {
            State::Claimed => b'c',
            State::Published => b'p',
        };
        fixed[2..18].copy_from_slice(&self.fingerprint);
        fixed[18..26].copy_from_slice(&self.accepted_at.as_millis().to_be_bytes());
        fixed[26..42].copy_from_slice(self.playbook.0.as_bytes());
        fixed[42..50].copy_from_slice(&self.epoch.0.to_be_bytes());
        let mut bytes = Encoded::new();
        let mut put = |part: &[u8]| bytes.try_extend_from_slice(part).expect("the longest claim fits");
        match &self.queued {
            None => put(&fixed[..Self::BARE_LEN]),
            Some(queued) => {
                fixed[50..66].copy_from_slice(queued.project.0.as_bytes());
                fixed[66..].copy_from_slice(queued.template.0.as_bytes());
                put(&fixed);
                put(queued.key.as_str().as_bytes());
            }
        }
        bytes
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`Unreadable`] for any other version, length or state. Such a key must be treated as if Redis were down, not
    /// as absent: a newer gateway may own it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (bare, rest) = bytes.split_first_chunk::<{ Self::BARE_LEN }>().ok_or(Unreadable)?;
        let queued = match bare[0] {
            BARE if rest.is_empty() => None,
            VERSION => Some(Queued::decode(rest)?),
            _ => return Err(Unreadable),
        };
        let state = match bare[1] {
            b'c' => State::Claimed,
            b'p' => State::Published,
            _ => return Err(Unreadable),
        };
        Ok(Self {
            state,
            fingerprint: field(bare, 2),
            accepted_at: Timestamp::from_millis(u64::from_be_bytes(field(bare, 18))).map_err(|_| Unreadable)?,
            playbook: PlaybookId(Uuid::from_bytes(field(bare, 26))),
            epoch: StreamEpoch(u64::from_be_bytes(field(bare, 42))),
            queued,
        })
    }
}

/// A claim's bytes, on the stack: every delivery has one.
pub type Encoded = ArrayVec<u8, { Claim::MAX_LEN }>;

impl Queued {
    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (project, rest) = bytes.split_first_chunk().ok_or(Unreadable)?;
        let (template, key) = rest.split_first_chunk().ok_or(Unreadable)?;
        Ok(Self {
            project: ProjectId(Uuid::from_bytes(*project)),
            template: TemplateId(Uuid::from_bytes(*template)),
            key: IdempotencyKey::from_bytes(key).map_err(|_| Unreadable)?,
        })
    }
}

fn field<const N: usize>(bytes: &[u8; Claim::BARE_LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}
