//! Arbitrary deliveries, and what it means that two are the same.

use proptest::{collection::vec, option, prelude::*};
use proto::{
    Fingerprint, IdempotencyKey, OrganizationId, Payload, PlaybookId, ProjectId, RunId, Scope, Selector, Slug,
    TemplateId, Timestamp, envelope::Delivery,
};
use uuid::Uuid;

/// The last millisecond that a timestamp can name.
pub(crate) const LAST_MILLIS: u64 = 253_402_207_199_999;

/// All that a delivery is made of; the delivery itself borrows its payload.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    organization: Uuid,
    playbook: Uuid,
    project: Uuid,
    template: Uuid,
    target: Selector,
    key: IdempotencyKey,
    by_organization: bool,
    millis: u64,
    request_id: Option<String>,
    traceparent: Option<String>,
    reply_to: Option<String>,
    pub(crate) payload: String,
}

impl Parts {
    pub(crate) fn delivery(&self) -> Delivery<'_> {
        let payload = Payload::parse(self.payload.as_bytes()).expect("the strategy makes objects only");
        let (organization, playbook) = (OrganizationId(self.organization), PlaybookId(self.playbook));
        let scope = if self.by_organization { Scope::Organization(organization) } else { Scope::Playbook(playbook) };
        Delivery {
            run_id: RunId::compute(scope, &self.key),
            organization_id: organization,
            playbook_id: playbook,
            project_id: ProjectId(self.project),
            template_id: TemplateId(self.template),
            target: self.target.clone(),
            idempotency_key: self.key.clone(),
            fingerprint: Fingerprint::compute(playbook, &self.target, &payload),
            accepted_at: Timestamp::from_millis(self.millis).expect("in range"),
            request_id: self.request_id.as_deref().map(Into::into),
            traceparent: self.traceparent.as_deref().map(Into::into),
            reply_to: self.reply_to.as_deref().map(Into::into),
            payload,
        }
    }
}

pub(crate) fn parts() -> impl Strategy<Value = Parts> {
    let ids = [uuid(), uuid(), uuid(), uuid()];
    let target =
        (option::of(slug()), option::of(slug())).prop_map(|(project, template)| Selector { project, template });
    let text = || option::of(any::<String>());
    let request_id = option::of("[!#-\\[\\]-~]{1,128}");
    let rest = (request_id, text(), text(), object());
    (ids, target, key(), any::<bool>(), 0..=LAST_MILLIS, rest).prop_map(
        |([organization, playbook, project, template], target, key, by_organization, millis, rest)| {
            let (request_id, traceparent, reply_to, payload) = rest;
            Parts {
                organization,
                playbook,
                project,
                template,
                target,
                key,
                by_organization,
                millis,
                request_id,
                traceparent,
                reply_to,
                payload,
            }
        },
    )
}

pub(crate) fn uuid() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid::from_bytes)
}

fn slug() -> impl Strategy<Value = Slug> {
    "[a-z0-9][a-z0-9-]{0,62}".prop_map(|text| text.parse().expect("made to be a slug"))
}

/// Quotes and backslashes, which JSON escapes, come up more often than in a fair draw.
pub(crate) fn key() -> impl Strategy<Value = IdempotencyKey> {
    let character = prop_oneof![3 => 0x21_u8..=0x7e, 1 => Just(b'"'), 1 => Just(b'\\')];
    vec(character, 1..=255).prop_map(|bytes| IdempotencyKey::from_bytes(&bytes).expect("made to be a key"))
}

/// Text of an object, with whitespace inside, escapes (lone surrogates among them), raw unicode, numbers that no
/// double can hold, and members that appear twice.
pub(crate) fn object() -> impl Strategy<Value = String> {
    value().prop_flat_map(|inner| members(Just(inner)))
}

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        string(),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?",
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
    ];
    scalar.prop_recursive(5, 24, 4, |inner| {
        let array = (space(), vec((space(), inner.clone(), space()), 0..4)).prop_map(|(gap, items)| {
            let items: Vec<_> =
                items.into_iter().map(|(before, item, after)| format!("{before}{item}{after}")).collect();
            if items.is_empty() { format!("[{gap}]") } else { format!("[{}]", items.join(",")) }
        });
        prop_oneof![array, members(inner)]
    })
}

fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (space(), string(), space(), space(), value, space())
        .prop_map(|(a, name, b, c, value, d)| format!("{a}{name}{b}:{c}{value}{d}"));
    (space(), vec(member, 0..4)).prop_map(|(gap, members)| {
        if members.is_empty() { format!("{{{gap}}}") } else { format!("{{{}}}", members.join(",")) }
    })
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[ -!#-\\[\\]-~]{1,8}",
        1 => any::<char>().prop_filter("JSON escapes these", |c| *c >= ' ' && *c != '"' && *c != '\\').prop_map(String::from),
        1 => "\\\\[\"\\\\/bfnrt]",
        1 => "\\\\u[0-9a-fA-F]{4}",
        1 => "\\\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
        1 => "[\\[\\]{}]{1,4}",
    ];
    vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

/// Member for member: `Delivery` has no `==`, because a payload is equal only as text.
pub(crate) fn assert_same(left: &Delivery<'_>, right: &Delivery<'_>) {
    assert_eq!(left.run_id, right.run_id);
    assert_eq!(left.organization_id, right.organization_id);
    assert_eq!(left.playbook_id, right.playbook_id);
    assert_eq!(left.project_id, right.project_id);
    assert_eq!(left.template_id, right.template_id);
    assert_eq!(left.target, right.target);
    assert_eq!(left.idempotency_key, right.idempotency_key);
    assert_eq!(left.fingerprint, right.fingerprint);
    assert_eq!(left.accepted_at, right.accepted_at);
    assert_eq!(left.request_id, right.request_id);
    assert_eq!(left.traceparent, right.traceparent);
    assert_eq!(left.reply_to, right.reply_to);
    assert_eq!(left.payload.as_str(), right.payload.as_str());
}
