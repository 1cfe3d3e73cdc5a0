//! A claim is exactly what was stored, or nothing that anybody trusts.

use proptest::{collection::vec, prelude::*};
use proto::{
    Claim, PlaybookId, StreamEpoch, Timestamp,
    claim::{State, Unreadable},
};

use crate::strategies::{LAST_MILLIS, uuid};

fn claim() -> impl Strategy<Value = Claim> {
    let state = prop_oneof![Just(State::Claimed), Just(State::Published)];
    (state, any::<[u8; 16]>(), 0..=LAST_MILLIS, uuid(), any::<u64>()).prop_map(
        |(state, fingerprint, millis, playbook, epoch)| Claim {
            state,
            fingerprint,
            accepted_at: Timestamp::from_millis(millis).unwrap(),
            playbook: PlaybookId(playbook),
            epoch: StreamEpoch(epoch),
        },
    )
}

proptest! {
    #[test]
    fn every_claim_round_trips(claim in claim()) {
        let bytes = claim.encode();
        assert_eq!(Claim::decode(&bytes), Ok(claim));
    }

    #[test]
    fn every_other_length_is_refused(claim in claim(), more in vec(any::<u8>(), 1..60)) {
        let bytes = claim.encode();
        for end in 0..bytes.len() {
            assert_eq!(Claim::decode(&bytes[..end]), Err(Unreadable));
        }
        assert_eq!(Claim::decode(&[&bytes, &more[..]].concat()), Err(Unreadable));
    }

    #[test]
    fn every_other_version_and_state_is_refused(claim in claim()) {
        for byte in 0..=u8::MAX {
            let mut bytes = claim.encode();
            bytes[0] = byte;
            assert_eq!(Claim::decode(&bytes).is_ok(), byte == 1, "version {byte}");
            let mut bytes = claim.encode();
            bytes[1] = byte;
            assert_eq!(Claim::decode(&bytes).is_ok(), byte == b'c' || byte == b'p', "state {byte}");
        }
    }

    #[test]
    fn a_time_out_of_range_is_refused(claim in claim(), millis in LAST_MILLIS + 1..=u64::MAX) {
        let mut bytes = claim.encode();
        for millis in [millis, LAST_MILLIS + 1, u64::MAX] {
            bytes[18..26].copy_from_slice(&millis.to_be_bytes());
            assert_eq!(Claim::decode(&bytes), Err(Unreadable));
        }
    }

    /// Fifty bytes of anything: what is read is what would be written.
    #[test]
    fn what_can_be_read_can_be_written_and_shown(mut bytes in any::<[u8; Claim::LEN]>(), state in 0_usize..3) {
        bytes[0] = 1;
        bytes[1] = [b'c', b'p', b'x'][state];
        bytes[18..20].copy_from_slice(&[0, 0]);
        if let Ok(claim) = Claim::decode(&bytes) {
            assert_eq!(claim.encode(), bytes);
            assert_eq!(claim.accepted_at.to_string().len(), 24);
        }
    }
}

#[test]
fn only_its_own_fingerprint_is_its_own() {
    let playbook = PlaybookId(uuid::Uuid::nil());
    let of = |body: &'static str| {
        let payload = proto::Payload::parse(body.as_bytes()).unwrap();
        proto::Fingerprint::compute(playbook, &proto::Selector::default(), &payload)
    };
    let claim = Claim {
        state: State::Claimed,
        fingerprint: of("{}").short(),
        accepted_at: Timestamp::from_millis(0).unwrap(),
        playbook,
        epoch: StreamEpoch::UNKNOWN,
    };
    assert!(claim.is_of(&of("{}")));
    assert!(!claim.is_of(&of("{ }")));
}
