//! A claim is exactly what was stored, or nothing that anybody trusts.

use proptest::{collection::vec, option, prelude::*};
use proto::{
    Claim, IdempotencyKey, PlaybookId, ProjectId, StreamEpoch, TemplateId, Timestamp,
    claim::{Queued, State, Unreadable},
};

use crate::strategies::{LAST_MILLIS, key, uuid};

/// Where the key begins.
const KEY: usize = Claim::BARE_LEN + 32;

fn claim() -> impl Strategy<Value = Claim> {
    let state = prop_oneof![Just(State::Claimed), Just(State::Published)];
    let queued = (uuid(), uuid(), key()).prop_map(|(project, template, key)| Queued {
        project: ProjectId(project),
        template: TemplateId(template),
        key,
    });
    (state, any::<[u8; 16]>(), 0..=LAST_MILLIS, uuid(), any::<u64>(), option::of(queued)).prop_map(
        |(state, fingerprint, millis, playbook, epoch, queued)| Claim {
            state,
            fingerprint,
            accepted_at: Timestamp::from_millis(millis).unwrap(),
            playbook: PlaybookId(playbook),
            epoch: StreamEpoch(epoch),
            queued,
        },
    )
}

proptest! {
    #[test]
    fn every_claim_round_trips(claim in claim()) {
        assert_eq!(Claim::decode(&claim.encode()), Ok(claim));
    }

    /// A shorter one has another key, or is none.
    #[test]
    fn every_other_length_is_another_claim(claim in claim(), more in vec(any::<u8>(), 1..60)) {
        let bytes = claim.encode();
        for end in 0..bytes.len() {
            assert_ne!(Claim::decode(&bytes[..end]), Ok(claim.clone()));
            assert!(end > KEY || Claim::decode(&bytes[..end]) == Err(Unreadable), "{end}");
        }
        assert_ne!(Claim::decode(&[&bytes, &more[..]].concat()), Ok(claim));
    }

    #[test]
    fn every_other_version_and_state_is_refused(claim in claim()) {
        for byte in 0..=u8::MAX {
            let mut bytes = claim.encode().to_vec();
            bytes[0] = byte;
            let version = if claim.queued.is_some() { 2 } else { 1 };
            assert_eq!(Claim::decode(&bytes).is_ok(), byte == version, "version {byte}");
            let mut bytes = claim.encode().to_vec();
            bytes[1] = byte;
            assert_eq!(Claim::decode(&bytes).is_ok(), byte == b'c' || byte == b'p', "state {byte}");
        }
    }

    #[test]
    fn a_time_out_of_range_is_refused(claim in claim(), millis in LAST_MILLIS + 1..=u64::MAX) {
        let mut bytes = claim.encode().to_vec();
        for millis in [millis, LAST_MILLIS + 1, u64::MAX] {
            bytes[18..26].copy_from_slice(&millis.to_be_bytes());
            assert_eq!(Claim::decode(&bytes), Err(Unreadable));
        }
    }

    /// So many bytes of anything: what is read is what would be written.
    #[test]
    fn what_can_be_read_can_be_written_and_shown(
        mut bytes in prop_oneof![vec(any::<u8>(), Claim::BARE_LEN), vec(any::<u8>(), KEY..=Claim::MAX_LEN + 1)],
        state in 0_usize..3,
        is_key: bool,
    ) {
        bytes[0] = if bytes.len() == Claim::BARE_LEN { 1 } else { 2 };
        bytes[1] = [b'c', b'p', b'x'][state];
        bytes[18..20].copy_from_slice(&[0, 0]);
        if is_key {
            bytes.iter_mut().skip(KEY).for_each(|byte| *byte = 0x21 + *byte % 94);
        }
        if let Ok(claim) = Claim::decode(&bytes) {
            assert_eq!(claim.encode()[..], bytes);
            assert_eq!(claim.accepted_at.to_string().len(), 24);
        }
    }
}

#[test]
fn a_key_that_is_none_makes_no_claim() {
    let queued = Queued {
        project: ProjectId(uuid::Uuid::nil()),
        template: TemplateId(uuid::Uuid::nil()),
        key: "k".parse().unwrap(),
    };
    let claim = Claim { queued: Some(queued), ..of_nobody() };
    let with = |key: &[u8]| Claim::decode(&[&claim.encode()[..KEY], key].concat());
    assert_eq!(with(b"k"), Ok(claim.clone()));
    assert!(with(&[b'k'; IdempotencyKey::MAX_LEN]).is_ok());
    for key in [&b""[..], b" ", b"k k", "é".as_bytes(), &[b'k'; IdempotencyKey::MAX_LEN + 1]] {
        assert_eq!(with(key), Err(Unreadable), "{key:?}");
    }
}

fn of_nobody() -> Claim {
    Claim {
        state: State::Claimed,
        fingerprint: [0; 16],
        accepted_at: Timestamp::from_millis(0).unwrap(),
        playbook: PlaybookId(uuid::Uuid::nil()),
        epoch: StreamEpoch::UNKNOWN,
        queued: None,
    }
}

#[test]
fn only_its_own_fingerprint_is_its_own() {
    let playbook = PlaybookId(uuid::Uuid::nil());
    let of = |body: &'static str| {
        let payload = proto::Payload::parse(body.as_bytes()).unwrap();
        proto::Fingerprint::compute(playbook, &proto::Selector::default(), &payload)
    };
    let claim = Claim { fingerprint: of("{}").short(), ..of_nobody() };
    assert!(claim.is_of(&of("{}")));
    assert!(!claim.is_of(&of("{ }")));
}
