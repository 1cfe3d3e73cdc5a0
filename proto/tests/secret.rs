//! Secrets: recognised by their form, compared as digests, never shown.

use proptest::prelude::*;
use proto::secret::{Digest, Pepper, Secret, is_generated};

fn pepper() -> Pepper {
    Pepper::new(&[7; Pepper::MIN_LEN]).unwrap()
}

proptest! {
    #[test]
    fn a_generated_secret_is_known_by_its_form(entropy: [u8; 32]) {
        let secret = Secret::from_entropy(&entropy);
        assert_eq!(secret.reveal().len(), 55);
        assert!(is_generated(secret.reveal()));
        assert!(Secret::import(secret.reveal()).is_ok());
    }

    #[test]
    fn one_wrong_character_spoils_it(entropy: [u8; 32], at in 0_usize..55, new in "[0-9A-Za-z_é]") {
        let secret = Secret::from_entropy(&entropy);
        let mut text = secret.reveal().to_owned();
        text.replace_range(at..=at, &new);
        prop_assert_eq!(is_generated(&text), text == secret.reveal());
    }

    #[test]
    fn other_entropy_is_another_secret(one: [u8; 32], other: [u8; 32]) {
        let (a, b) = (Secret::from_entropy(&one), Secret::from_entropy(&other));
        prop_assert_eq!(a.reveal() == b.reveal(), one == other);
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text: String) {
        _ = is_generated(&text);
        _ = is_generated(&format!("rlsk_{text}"));
        let fits = (24..=512).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        assert_eq!(Secret::import(&text).is_ok(), fits);
    }

    #[test]
    fn a_digest_matches_itself_wherever_it_stands(secrets in proptest::collection::vec("[!-~]{24,40}", 0..4), at in 0_usize..5) {
        let live: Vec<Digest> = secrets.iter().map(|secret| pepper().digest(secret.as_bytes())).collect();
        if let Some(known) = secrets.get(at) {
            assert!(pepper().digest(known.as_bytes()).matches_any(&live));
        }
        assert!(!pepper().digest(b"another one, and a short one").matches_any(&live));
    }
}

#[test]
fn a_digest_is_of_its_pepper() {
    let other = Pepper::new(&[8; Pepper::MIN_LEN]).unwrap();
    let digest = pepper().digest(b"a secret of a certain length");
    assert!(!other.digest(b"a secret of a certain length").matches_any(&[digest]));
    assert!(digest.matches_any(&[Digest::from_bytes(*digest.as_bytes())]));
    assert!(!digest.matches_any(&[]));
    for at in 0..32 {
        let mut bytes = *digest.as_bytes();
        bytes[at] ^= 1;
        assert!(!digest.matches_any(&[Digest::from_bytes(bytes)]), "another byte {at}");
    }
}

#[test]
fn lengths_end_where_they_should() {
    for (length, fits) in [(23, false), (24, true), (512, true), (513, false)] {
        assert_eq!(Secret::import(&"s".repeat(length)).is_ok(), fits, "{length}");
    }
    assert!(Secret::import("twenty-four with a blank").is_err());
    assert!(Pepper::new(&[0; 31]).is_err());
    assert!(Pepper::new(&[0; 32]).is_ok());
}

#[test]
fn nothing_shows_itself() {
    let secret = Secret::import("CANARY-CANARY-CANARY-CANARY").unwrap();
    let pepper = Pepper::new(b"CANARY-CANARY-CANARY-CANARY-CANARY").unwrap();
    let digest = pepper.digest(secret.reveal().as_bytes());
    assert_eq!(format!("{secret:?} {pepper:?} {digest:?}"), "Secret(…) Pepper(…) Digest(…)");
}
