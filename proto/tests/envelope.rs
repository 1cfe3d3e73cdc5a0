//! Whatever arrives on the queue is either a list of deliveries that are what their ids say, or refused in words that
//! quote nothing.

use proptest::{collection::vec, prelude::*, sample::Index};
use proto::{
    Fingerprint, Payload, RunId, Scope, Selector,
    envelope::{self, DecodeError, Delivery, Encoded},
};

use crate::strategies::{Parts, assert_same, parts};

fn message(parts: &[Parts]) -> Vec<u8> {
    let encoded: Vec<Encoded> = parts.iter().map(|parts| parts.delivery().encode()).collect();
    envelope::encode(encoded.iter()).to_vec()
}

/// Recomputed here, not by the decoder: an altered message must not name a run that is not its key's, nor pass for
/// another delivery.
fn assert_consistent(delivery: &Delivery<'_>) {
    let runs = [Scope::Playbook(delivery.playbook_id), Scope::Organization(delivery.organization_id)]
        .map(|scope| RunId::compute(scope, &delivery.idempotency_key));
    assert!(runs.contains(&delivery.run_id));
    let fingerprint = Fingerprint::compute(delivery.playbook_id, &delivery.target, &delivery.payload);
    assert_eq!(fingerprint, delivery.fingerprint);
}

/// Refused or consistent; true if refused.
pub(crate) fn refused_or_consistent(message: &[u8]) -> bool {
    match envelope::decode(message) {
        Ok(deliveries) => {
            assert!(!deliveries.is_empty());
            deliveries.iter().for_each(assert_consistent);
            false
        }
        Err(_) => true,
    }
}

/// A delivery as small as it gets, with every member present.
pub(crate) fn small() -> Vec<u8> {
    let playbook = proto::PlaybookId(uuid::Uuid::from_u128(2));
    let key = proto::IdempotencyKey::from_bytes(b"k\"\\").unwrap();
    let payload = Payload::parse(b"{\"a\":[1,\"\\u00e9\"]}").unwrap();
    let target = Selector { project: Some("p".parse().unwrap()), template: None };
    let delivery = Delivery {
        run_id: RunId::compute(Scope::Playbook(playbook), &key),
        organization_id: proto::OrganizationId(uuid::Uuid::from_u128(1)),
        playbook_id: playbook,
        project_id: proto::ProjectId(uuid::Uuid::from_u128(3)),
        template_id: proto::TemplateId(uuid::Uuid::from_u128(4)),
        fingerprint: Fingerprint::compute(playbook, &target, &payload),
        target,
        idempotency_key: key,
        accepted_at: proto::Timestamp::from_millis(0).unwrap(),
        request_id: Some("q".into()),
        traceparent: Some("t".into()),
        reply_to: Some("r".into()),
        payload,
    };
    envelope::encode([delivery.encode()].iter()).to_vec()
}

fn text(message: &[u8]) -> &str {
    std::str::from_utf8(message).unwrap()
}

proptest! {
    #[test]
    fn every_envelope_round_trips(parts in vec(parts(), 1..5)) {
        let message = message(&parts);
        let decoded = envelope::decode(&message).unwrap();
        assert_eq!(decoded.len(), parts.len());
        for (decoded, parts) in decoded.iter().zip(&parts) {
            assert_same(decoded, &parts.delivery());
        }
    }

    /// The publisher fills a message by this sum, and the broker refuses one that is over its limit.
    #[test]
    fn a_message_is_as_long_as_its_deliveries_cost(parts in vec(parts(), 1..5)) {
        let encoded: Vec<Encoded> = parts.iter().map(|parts| parts.delivery().encode()).collect();
        let empty = envelope::encode([].iter()).len();
        let cost: usize = encoded.iter().map(Encoded::cost).sum();
        assert_eq!(envelope::encode(encoded.iter()).len() + 1, empty + cost);
    }

    #[test]
    fn members_that_are_not_known_are_passed_over(parts in parts(), value in crate::strategies::object()) {
        let original = message(std::slice::from_ref(&parts));
        let original = text(&original);
        let altered = [
            original.replacen("{\"v\"", &format!("{{\"new\":{value},\"v\""), 1),
            original.replacen("{\"runId\"", &format!("{{\"new\":{value},\"runId\""), 1),
            original.replacen("\"target\":{", &format!("\"new\":{value},\"target\":{{"), 1),
            format!("{},\"new\":{value}}}", &original[..original.len() - 1]),
        ];
        for altered in altered {
            let decoded = envelope::decode(altered.as_bytes()).unwrap();
            assert_same(&decoded[0], &parts.delivery());
        }
    }

    /// Workers put such a message back, so a newer gateway's deliveries must not be mistaken for damage.
    #[test]
    fn a_newer_version_is_reported_whatever_the_rest_is(
        version in 2..=u64::MAX,
        rest in crate::strategies::object(),
        parts in parts(),
    ) {
        let shapes = [
            format!("{{\"v\":{version}}}"),
            format!("{{\"v\":{version},\"deliveries\":{rest}}}"),
            format!("{{\"batch\":{rest},\"v\":{version}}}"),
            format!("{{\"v\":{version},\"deliveries\":[]}}"),
            text(&message(&[parts])).replacen("\"v\":1", &format!("\"v\":{version}"), 1),
        ];
        for shape in shapes {
            let error = envelope::decode(shape.as_bytes()).unwrap_err();
            assert!(matches!(error, DecodeError::UnsupportedVersion(found) if found == version), "{shape}: {error}");
        }
    }

    /// Nobody ever wrote it, so no newer worker is waited for.
    #[test]
    fn version_zero_is_malformed(parts in parts()) {
        let zero = text(&message(&[parts])).replacen("\"v\":1", "\"v\":0", 1);
        for shape in [zero.as_str(), "{\"v\":0}"] {
            assert!(matches!(envelope::decode(shape.as_bytes()), Err(DecodeError::Malformed(_))), "{shape}");
        }
    }

    #[test]
    fn a_mutation_is_refused_or_consistent(parts in vec(parts(), 1..4), at in any::<Index>(), byte: u8) {
        let mut message = message(&parts);
        let at = at.index(message.len());
        message[at] = byte;
        refused_or_consistent(&message);
    }

    #[test]
    fn a_truncation_is_refused(parts in vec(parts(), 1..4), at in any::<Index>()) {
        let message = message(&parts);
        assert!(refused_or_consistent(&message[..at.index(message.len())]));
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..400)) {
        refused_or_consistent(&bytes);
    }

    /// Swapping what identifies a delivery, or what it says, for that of another one.
    #[test]
    fn members_of_two_deliveries_do_not_mix(one in parts(), other in parts()) {
        let (one, other) = (one.delivery(), other.delivery());
        prop_assume!(one.idempotency_key != other.idempotency_key && one.fingerprint != other.fingerprint);
        let mixes = [
            Delivery { run_id: other.run_id, ..one.clone() },
            Delivery { idempotency_key: other.idempotency_key.clone(), ..one.clone() },
            Delivery { fingerprint: other.fingerprint, ..one.clone() },
            Delivery { target: other.target, payload: other.payload, playbook_id: other.playbook_id, ..one.clone() },
        ];
        for mix in mixes {
            let message = envelope::encode([one.encode(), mix.encode()].iter());
            let error = envelope::decode(&message).unwrap_err();
            assert_eq!(error.to_string(), "malformed envelope: delivery 1 is not what its ids say");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let message = small();
    assert!(!refused_or_consistent(&message));
    for end in 0..message.len() {
        assert!(refused_or_consistent(&message[..end]), "the first {end} bytes are no message");
    }
}

#[test]
fn every_change_of_one_byte_is_refused_or_consistent() {
    let message = small();
    for at in 0..message.len() {
        let mut mutated = message.clone();
        for byte in 0..=u8::MAX {
            mutated[at] = byte;
            refused_or_consistent(&mutated);
        }
    }
}

#[test]
fn what_is_no_envelope_is_refused() {
    let one = small();
    let one = text(&one);
    let cases = [
        "",
        "null",
        "{}",
        "[]",
        "{\"v\":1}",
        "{\"v\":1,\"deliveries\":[]}",
        "{\"v\":1,\"deliveries\":[{}]}",
        "{\"v\":\"1\",\"deliveries\":[]}",
        "{\"v\":-1,\"deliveries\":[]}",
        "{\"v\":1.5,\"deliveries\":[]}",
        "{\"deliveries\":[]}",
        &one.replacen("\"payload\":{", "\"payload\":[{", 1).replacen("}]}", "]}]}", 1),
        &one.replacen("\"v\":1,", "\"v\":1,\"v\":1,", 1),
        &format!("{one}{one}"),
        &format!("{one} x"),
    ];
    for case in cases {
        let error = envelope::decode(case.as_bytes()).expect_err(case);
        assert!(matches!(error, DecodeError::Malformed(_)), "{case}: {error}");
    }
}

/// The text goes to logs and dead letters (I7).
#[test]
fn no_refusal_quotes_the_message() {
    let message = small();
    let text = text(&message);
    let cases = [
        text.replacen("\"v\":1", "\"v\":\"CANARY\"", 1),
        text.replacen("\"target\":{\"project\":\"p\"}", "\"target\":{\"project\":\"CANARY\"}", 1),
        text.replacen("\"target\":{", "\"target\":\"CANARY\",\"x\":{", 1),
        text.replacen("\"k\\\"\\\\\"", "\"CANARY CANARY\"", 1),
        text.replacen("1970", "CANARY", 1),
        text.replacen("\"payload\":{", "\"payload\":\"CANARY\",\"x\":{", 1),
        text.replacen("\"runId\":\"", "\"runId\":\"CANARY", 1),
        text.replacen("\"fingerprint\":\"", "\"fingerprint\":\"CANARY", 1),
        text.replacen("[1,", "[CANARY,", 1),
    ];
    for case in cases {
        assert!(case.contains("CANARY"), "{case}");
        let error = envelope::decode(case.as_bytes()).expect_err(&case);
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
    }
}

/// What a gateway checks `max_payload` with when it starts must hold for the worst delivery there can be.
#[test]
fn the_largest_delivery_stays_within_the_overhead() {
    let longest: proto::Slug = "s".repeat(63).parse().unwrap();
    let key = proto::IdempotencyKey::from_bytes(&[b'"'; 255]).unwrap();
    let last = proto::Timestamp::from_millis(crate::strategies::LAST_MILLIS).unwrap();
    let id = uuid::Uuid::max();
    let playbook = proto::PlaybookId(id);
    let payload = Payload::parse(b"{}").unwrap();
    let target = Selector { project: Some(longest.clone()), template: Some(longest) };
    let delivery = Delivery {
        run_id: RunId::compute(Scope::Playbook(playbook), &key),
        organization_id: proto::OrganizationId(id),
        playbook_id: playbook,
        project_id: proto::ProjectId(id),
        template_id: proto::TemplateId(id),
        fingerprint: Fingerprint::compute(playbook, &target, &payload),
        target,
        idempotency_key: key,
        accepted_at: last,
        request_id: Some("q".repeat(128).into()),
        traceparent: Some("f".repeat(55).into()),
        reply_to: Some("r".repeat(64).into()),
        payload,
    };
    let message = envelope::encode([delivery.encode()].iter());
    assert!(envelope::decode(&message).is_ok());
    // As the broker counts them: the block's first line, both headers, the empty line. A message id may have 64 characters.
    let headers = format!("NATS/1.0\r\n{}: 1\r\nNats-Msg-Id: {}\r\n\r\n", proto::queue::COUNT_HEADER, "i".repeat(64));
    let overhead = message.len() - delivery.payload.as_str().len() + headers.len();
    assert!(overhead <= envelope::MAX_OVERHEAD, "{overhead} bytes");
    // And the bound is not so loose that it would no longer notice a member that grows.
    assert!(overhead > envelope::MAX_OVERHEAD / 2, "{overhead} bytes");
}

/// A name that is none does no harm to what it names.
#[test]
fn what_is_no_request_id_is_read_as_none() {
    let message = String::from_utf8(small()).unwrap();
    for (name, read) in [
        (r#""req-1""#, Some("req-1")),
        (r#""\u0072""#, Some("r")),
        (r#""\u0000""#, None),
        (r#""""#, None),
        (r#""a b""#, None),
        (r#""é""#, None),
        ("null", None),
        (&format!("\"{}\"", "r".repeat(129)), None),
    ] {
        let message = message.replace(r#""requestId":"q""#, &format!(r#""requestId":{name}"#));
        let delivery = &envelope::decode(message.as_bytes()).unwrap()[0];
        assert_eq!(delivery.request_id.as_deref(), read, "{name}");
    }
}
