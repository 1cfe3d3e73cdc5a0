//! Whatever lies in the queue: refused, or deliveries that are what their ids say and survive being written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::envelope::{self, DecodeError, Delivery};
use proto::{Fingerprint, RunId, Scope};

fuzz_target!(|bytes: &[u8]| {
    match envelope::decode(bytes) {
        Ok(deliveries) => {
            assert!(!deliveries.is_empty());
            deliveries.iter().for_each(assert_consistent);
            let encoded: Vec<_> = deliveries.iter().map(Delivery::encode).collect();
            let again = envelope::encode(encoded.iter());
            let again = envelope::decode(&again).expect("what was read can be written and read");
            assert_eq!(again.len(), deliveries.len());
            for (one, other) in again.iter().zip(&deliveries) {
                assert_eq!((one.run_id, one.fingerprint), (other.run_id, other.fingerprint));
                assert_eq!(one.payload.as_str(), other.payload.as_str());
            }
        }
        // Its text goes to logs: short, and of our own words.
        Err(error @ (DecodeError::Malformed(_) | DecodeError::UnsupportedVersion(_))) => {
            assert!(error.to_string().len() < 120, "{error}");
        }
    }
});

fn assert_consistent(delivery: &Delivery<'_>) {
    let scopes = [Scope::Playbook(delivery.playbook_id), Scope::Organization(delivery.organization_id)];
    assert!(scopes.iter().any(|scope| RunId::compute(*scope, &delivery.idempotency_key) == delivery.run_id));
    let fingerprint = Fingerprint::compute(delivery.playbook_id, &delivery.target, &delivery.payload);
    assert_eq!(fingerprint, delivery.fingerprint);
}
