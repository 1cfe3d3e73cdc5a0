//! Whatever lies in Redis: what can be read is what would be written, to the byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::Claim;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(claim) = Claim::decode(bytes) {
        assert_eq!(claim.encode()[..], *bytes);
        assert_eq!(claim.accepted_at.to_string().len(), 24);
    }
});
