//! The bytes that other versions of this program have written, and that strangers read. They were computed with
//! other implementations (Python's `blake3`, `uuid`, `hmac`, `zlib` and `struct`) and are never computed here: where
//! one of these tests fails, the code needs a new version number, not the test new bytes.

use proto::{
    Claim, Fingerprint, IdempotencyKey, OrganizationId, Payload, PlaybookId, ProjectId, RunId, Scope, Selector, Slug,
    StreamEpoch, TemplateId, Timestamp,
    claim::{Queued, State},
    dead_letter::Reason,
    envelope::{self, Delivery},
    queue,
    reply::{Outcome, Reply, is_subject},
    secret::{Pepper, Secret, is_generated},
};
use uuid::{Uuid, uuid};

const ORGANIZATION: OrganizationId = OrganizationId(uuid!("7d444840-9dc0-4f1d-b9a5-0cda6e7b1f01"));
const PLAYBOOK: PlaybookId = PlaybookId(uuid!("3f1f7b7e-2c9a-4b53-8e0e-6a1d2f4c5b02"));
const PROJECT: ProjectId = ProjectId(uuid!("c56a4180-65aa-42ec-a945-5fd21dec0503"));
const TEMPLATE: TemplateId = TemplateId(uuid!("9b2d1f60-0a3e-4c77-9d34-1e5a8f6b7c04"));

/// 2026-11-23T16:00:00.000Z.
const NOON: u64 = 1_795_449_600_000;
/// The last moment that a timestamp can name, 9999-12-30T21:59:59.999Z.
const LAST: u64 = 253_402_207_199_999;

const PLAIN: &str = concat!(
    r#"{"runId":"74cb6e12-7c51-8d32-85d1-e9ce1cdd28c8","organizationId":"7d444840-9dc0-4f1d-b9a5-0cda6e7b1f01","#,
    r#""playbookId":"3f1f7b7e-2c9a-4b53-8e0e-6a1d2f4c5b02","projectId":"c56a4180-65aa-42ec-a945-5fd21dec0503","#,
    r#""templateId":"9b2d1f60-0a3e-4c77-9d34-1e5a8f6b7c04","target":{},"idempotencyKey":"evt-1","#,
    r#""fingerprint":"b31eedf2a4bb27238958c38aef0c5729244723c9f8287818ebe965a8afaf434e","#,
    r#""acceptedAt":"2026-11-23T16:00:00.000Z","payload":{"a":1}}"#,
);

/// A key that JSON has to escape, both targets named, and a payload that no JSON library would write like this.
const ODD: &str = concat!(
    r#"{"runId":"b9741fbe-1516-8ec9-a4ea-99e3ce05ce38","organizationId":"7d444840-9dc0-4f1d-b9a5-0cda6e7b1f01","#,
    r#""playbookId":"3f1f7b7e-2c9a-4b53-8e0e-6a1d2f4c5b02","projectId":"c56a4180-65aa-42ec-a945-5fd21dec0503","#,
    r#""templateId":"9b2d1f60-0a3e-4c77-9d34-1e5a8f6b7c04","target":{"project":"backend","template":"nightly"},"#,
    r#""idempotencyKey":"q\"uo\\te","fingerprint":"195cc8561fed45c102bd7e06597c7db52c53834a1faa4f4bc98ace4e52ce1644","#,
    r#""acceptedAt":"1970-01-01T00:00:00.000Z","payload":{ "é" : "\ud800", "n":1e400,"#,
    "\t",
    r#""big":123456789012345678901234567890 }}"#,
);

/// The organization's scope, and all optional members.
const FULL: &str = concat!(
    r#"{"runId":"4ebe856d-8a88-81c7-b034-08b6e42dea7d","organizationId":"7d444840-9dc0-4f1d-b9a5-0cda6e7b1f01","#,
    r#""playbookId":"3f1f7b7e-2c9a-4b53-8e0e-6a1d2f4c5b02","projectId":"c56a4180-65aa-42ec-a945-5fd21dec0503","#,
    r#""templateId":"9b2d1f60-0a3e-4c77-9d34-1e5a8f6b7c04","target":{"project":"backend"},"idempotencyKey":"evt-1","#,
    r#""fingerprint":"9cd730deadc76689e6f410aa84ae33461db4172f110540e17777afd216c930cd","#,
    r#""acceptedAt":"9999-12-30T21:59:59.999Z","#,
    r#""traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","replyTo":"_INBOX.gateway.7","#,
    r#""payload":{}}"#,
);

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::from_bytes(text.as_bytes()).unwrap()
}

fn selector(project: &str, template: &str) -> Selector {
    let slug = |text: &str| text.parse::<Slug>().ok();
    Selector { project: slug(project), template: slug(template) }
}

fn fingerprint(hex: &str) -> Fingerprint {
    hex.parse().unwrap()
}

/// The members are written out, ids too: nothing is computed.
fn delivery<'a>(run: Uuid, key_text: &str, target: Selector, digest: &str, at: u64, payload: &'a str) -> Delivery<'a> {
    Delivery {
        run_id: RunId(run),
        organization_id: ORGANIZATION,
        playbook_id: PLAYBOOK,
        project_id: PROJECT,
        template_id: TEMPLATE,
        target,
        idempotency_key: key(key_text),
        fingerprint: fingerprint(digest),
        accepted_at: Timestamp::from_millis(at).unwrap(),
        request_id: None,
        traceparent: None,
        reply_to: None,
        payload: Payload::parse(payload.as_bytes()).unwrap(),
    }
}

fn plain() -> Delivery<'static> {
    let run = uuid!("74cb6e12-7c51-8d32-85d1-e9ce1cdd28c8");
    let digest = "b31eedf2a4bb27238958c38aef0c5729244723c9f8287818ebe965a8afaf434e";
    delivery(run, "evt-1", Selector::default(), digest, NOON, "{\"a\":1}")
}

fn odd() -> Delivery<'static> {
    let run = uuid!("b9741fbe-1516-8ec9-a4ea-99e3ce05ce38");
    let digest = "195cc8561fed45c102bd7e06597c7db52c53834a1faa4f4bc98ace4e52ce1644";
    let payload = "{ \"é\" : \"\\ud800\", \"n\":1e400,\t\"big\":123456789012345678901234567890 }";
    delivery(run, "q\"uo\\te", selector("backend", "nightly"), digest, 0, payload)
}

fn full() -> Delivery<'static> {
    let run = uuid!("4ebe856d-8a88-81c7-b034-08b6e42dea7d");
    let digest = "9cd730deadc76689e6f410aa84ae33461db4172f110540e17777afd216c930cd";
    Delivery {
        request_id: None,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        reply_to: Some("_INBOX.gateway.7".into()),
        ..delivery(run, "evt-1", selector("backend", ""), digest, LAST, "{}")
    }
}

fn assert_golden(deliveries: &[Delivery<'_>], golden: &str) {
    let encoded: Vec<_> = deliveries.iter().map(Delivery::encode).collect();
    let message = envelope::encode(encoded.iter());
    assert_eq!(std::str::from_utf8(&message).unwrap(), golden);
    let decoded = envelope::decode(golden.as_bytes()).unwrap();
    assert_eq!(decoded.len(), deliveries.len());
    for (decoded, original) in decoded.iter().zip(deliveries) {
        crate::strategies::assert_same(decoded, original);
    }
}

#[test]
fn an_envelope_of_one() {
    assert_golden(&[plain()], &format!(r#"{{"v":1,"deliveries":[{PLAIN}]}}"#));
}

#[test]
fn an_envelope_of_one_with_every_optional_member() {
    assert_golden(&[full()], &format!(r#"{{"v":1,"deliveries":[{FULL}]}}"#));
}

/// A member that came later than the others.
#[test]
fn an_envelope_that_names_its_request() {
    let request = Delivery { request_id: Some("req-7".into()), ..full() };
    let named = FULL.replace("\"traceparent\"", "\"requestId\":\"req-7\",\"traceparent\"");
    assert_golden(&[request], &format!(r#"{{"v":1,"deliveries":[{named}]}}"#));
}

#[test]
fn an_envelope_of_three() {
    assert_golden(&[plain(), odd(), full()], &format!(r#"{{"v":1,"deliveries":[{PLAIN},{ODD},{FULL}]}}"#));
}

#[test]
fn a_run_id_in_both_scopes() {
    let of_playbook = RunId::compute(Scope::Playbook(PLAYBOOK), &key("evt-1"));
    let of_organization = RunId::compute(Scope::Organization(ORGANIZATION), &key("evt-1"));
    assert_eq!(of_playbook.to_string(), "74cb6e12-7c51-8d32-85d1-e9ce1cdd28c8");
    assert_eq!(of_organization.to_string(), "4ebe856d-8a88-81c7-b034-08b6e42dea7d");
    for run in [of_playbook, of_organization] {
        assert_eq!(run.0.get_version_num(), 8);
        assert_eq!(run.0.get_variant(), uuid::Variant::RFC4122);
    }
}

#[test]
fn a_fingerprint_with_and_without_a_selector() {
    let goldens = [
        ("", "", "b31eedf2a4bb27238958c38aef0c5729244723c9f8287818ebe965a8afaf434e"),
        ("backend", "", "871186cc6c0bb2c4a7deab3b30dec840bd490aee83a144cf455b20346a936693"),
        ("", "backend", "d074875610fbe60c1ea40095ffbefcf62c658c5026004bc42fb548d2003ebbad"),
        ("backend", "nightly", "1d953c7674e4e4b527faed019918fc175c5d96131324efe8417b4981f52a2b8f"),
    ];
    let payload = Payload::parse(b"{\"a\":1}").unwrap();
    for (project, template, golden) in goldens {
        let computed = Fingerprint::compute(PLAYBOOK, &selector(project, template), &payload);
        assert_eq!(String::from(computed), golden, "project {project:?}, template {template:?}");
        assert_eq!(hex::encode(computed.short()), golden[..32]);
    }
}

#[test]
fn a_claim_in_both_states_and_versions() {
    let goldens = [
        (
            State::Claimed,
            false,
            "0163b31eedf2a4bb27238958c38aef0c5729000001a20922b8003f1f7b7e2c9a4b538e0e6a1d2f4c5b02000660f3a9aac140",
        ),
        (
            State::Published,
            false,
            "0170b31eedf2a4bb27238958c38aef0c5729000001a20922b8003f1f7b7e2c9a4b538e0e6a1d2f4c5b02000660f3a9aac140",
        ),
        (
            State::Claimed,
            true,
            concat!(
                "0263b31eedf2a4bb27238958c38aef0c5729000001a20922b8003f1f7b7e2c9a4b538e0e6a1d2f4c5b02000660f3a9aac140",
                "c56a418065aa42eca9455fd21dec05039b2d1f600a3e4c779d341e5a8f6b7c046576742d31",
            ),
        ),
        (
            State::Published,
            true,
            concat!(
                "0270b31eedf2a4bb27238958c38aef0c5729000001a20922b8003f1f7b7e2c9a4b538e0e6a1d2f4c5b02000660f3a9aac140",
                "c56a418065aa42eca9455fd21dec05039b2d1f600a3e4c779d341e5a8f6b7c046576742d31",
            ),
        ),
    ];
    for (state, queued, golden) in goldens {
        let claim = Claim {
            state,
            fingerprint: [
                0xb3, 0x1e, 0xed, 0xf2, 0xa4, 0xbb, 0x27, 0x23, 0x89, 0x58, 0xc3, 0x8a, 0xef, 0x0c, 0x57, 0x29,
            ],
            accepted_at: Timestamp::from_millis(NOON).unwrap(),
            playbook: PLAYBOOK,
            epoch: StreamEpoch(1_795_449_500_123_456),
            queued: queued.then(|| Queued { project: PROJECT, template: TEMPLATE, key: key("evt-1") }),
        };
        assert_eq!(hex::encode(&*claim.encode()), golden);
        assert_eq!(Claim::decode(&hex::decode(golden).unwrap()), Ok(claim));
    }
}

#[test]
fn a_reply() {
    let run = RunId(uuid!("74cb6e12-7c51-8d32-85d1-e9ce1cdd28c8"));
    for (outcome, word) in [
        (Outcome::Created, "created"),
        (Outcome::Duplicate, "duplicate"),
        (Outcome::Buried(Reason::IdempotencyConflict), "idempotency_conflict"),
        (Outcome::Buried(Reason::TargetNotFound), "target_not_found"),
        (Outcome::Buried(Reason::DataRefused), "data_refused"),
    ] {
        let golden = format!(r#"{{"v":1,"runId":"74cb6e12-7c51-8d32-85d1-e9ce1cdd28c8","outcome":"{word}"}}"#);
        assert_eq!(String::from_utf8(Reply::new(run, outcome).encode()).unwrap(), golden);
        assert_eq!(Reply::decode(golden.as_bytes()), Some(Reply::new(run, outcome)));
        // A member more is no harm; a word more, or another version, is not understood.
        assert!(Reply::decode(golden.replacen('{', r#"{"more":1,"#, 1).as_bytes()).is_some());
        assert_eq!(Reply::decode(golden.replace(word, "other").as_bytes()), None);
        assert_eq!(Reply::decode(golden.replace("1,", "2,").as_bytes()), None);
    }
    for subject in ["_INBOX.gateway.7", "_INBOX.HxL4dS3uK2qkUeVQ8YvS8d.12", "_INBOX.a"] {
        assert!(is_subject(subject), "{subject}");
    }
    for other in [
        "",
        "_INBOX.",
        "_INBOX",
        "_INBOX.a.",
        "_INBOX..a",
        "_INBOX.*",
        "_INBOX.>",
        "_INBOX.a b",
        "_INBOX.a\r\n",
        "$JS.API.INFO",
    ] {
        assert!(!is_subject(other), "{other}");
    }
    assert!(!is_subject(&format!("_INBOX.{}", "a".repeat(128))));
}

#[test]
fn names_in_redis_and_in_nats() {
    let run = RunId(uuid!("74cb6e12-7c51-8d32-85d1-e9ce1cdd28c8"));
    assert_eq!(&Claim::redis_key(run), b"rl:74cb6e12-7c51-8d32-85d1-e9ce1cdd28c8");
    assert_eq!(queue::STREAM, "RUNS");
    assert_eq!(queue::SUBJECTS, "runs.v1.*");
    assert_eq!(queue::subject(0), "runs.v1.0");
    assert_eq!(queue::COUNT_HEADER, "Runlatch-Count");
    assert_eq!(StreamEpoch::from_unix_nanos(1_795_449_500_123_456_789), StreamEpoch(1_795_449_500_123_456));
    assert_eq!(StreamEpoch::from_unix_nanos(-1_000_000), StreamEpoch::UNKNOWN);
}

/// The subjects under which nats-server publishes what happens to a stream.
#[test]
fn a_stream_that_was_made_or_deleted_may_be_another() {
    assert_eq!(queue::advisories(), "$JS.EVENT.ADVISORY.STREAM.*.RUNS");
    for (kind, recreation) in [
        ("CREATED", true),
        ("DELETED", true),
        ("UPDATED", false),
        ("LEADER_ELECTED", false),
        ("QUORUM_LOST", false),
        ("SNAPSHOT_CREATE", false),
        ("SNAPSHOT_COMPLETE", false),
        ("RESTORE_CREATE", false),
        ("RESTORE_COMPLETE", false),
    ] {
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.{kind}.RUNS");
        assert_eq!(queue::tells_of_recreation(&subject), recreation, "{subject}");
    }
}

#[test]
fn a_secret_and_its_digest() {
    let counting: [u8; 32] = std::array::from_fn(|index| index as u8);
    let goldens = [
        (
            counting,
            "rlsk_000SYW7RiJxkEgOGusQGwp0UJg4EBGO3cQWJhXqJNbv53D58Hx",
            "c715376889db9460b7b61b743c15a930dbc1897962b0f230ba54a9b685446287",
        ),
        (
            [0; 32],
            "rlsk_000000000000000000000000000000000000000000002WHHss",
            "7dca173d5ab05a25f345fb4fd512445d7d75c87bf5a86e8e2b2b5337f349ef53",
        ),
        (
            [0xff; 32],
            "rlsk_7n42DGM5Tflk9n8mt7Fhc77n42DGM5Tflk9n8mt7Fhc71EA0Mk",
            "8524f535ecb9e8cb0b03f232ef6ce042cbea64f4493d657274fef03f33139458",
        ),
    ];
    let pepper = Pepper::new(b"pepper of the golden tests, 32 b").unwrap();
    for (entropy, text, digest) in goldens {
        let secret = Secret::from_entropy(&entropy);
        assert_eq!(secret.reveal(), text);
        assert!(is_generated(text));
        assert_eq!(hex::encode(pepper.digest(text.as_bytes()).as_bytes()), digest);
    }
}

/// As somebody might make it up by hand: nothing is wrong with it but that a payload must be an object.
#[test]
fn a_payload_that_is_no_object_is_refused_whatever_its_fingerprint() {
    let of_array = "202cadb738cb253ba34bb21bdf86274f22f5221a043d98d0434bf8f53a7d1f18";
    let of_object = "b31eedf2a4bb27238958c38aef0c5729244723c9f8287818ebe965a8afaf434e";
    let altered = PLAIN.replace("{\"a\":1}", "[1]").replace(of_object, of_array);
    let error = envelope::decode(format!(r#"{{"v":1,"deliveries":[{altered}]}}"#).as_bytes()).unwrap_err();
    assert!(error.to_string().starts_with("malformed envelope: Data error at line 1 column "), "{error}");
}

#[test]
fn names_of_the_queue() {
    assert_eq!(
        (proto::queue::STREAM, proto::queue::SUBJECTS, proto::queue::COUNT_HEADER),
        ("RUNS", "runs.v1.*", "Runlatch-Count")
    );
    assert_eq!(proto::queue::subject(0), "runs.v1.0");
    let epoch = proto::StreamEpoch(1_795_451_880_426_619);
    assert_eq!(proto::queue::consumer(epoch), "workers-1795451880426619");
    assert_eq!(proto::queue::epoch_of_consumer("workers-1795451880426619"), Some(epoch));
    assert_eq!(["workers", "workers-", "workers-x", "others-1"].map(proto::queue::epoch_of_consumer), [None; 4]);
}
