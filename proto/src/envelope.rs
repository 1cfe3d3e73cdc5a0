//! The message on the queue: one or more deliveries, as JSON that any NATS client can read.
//!
//! ```json
//! {"v":1,"deliveries":[{"runId":"…","organizationId":"…","playbookId":"…","projectId":"…","templateId":"…",
//!   "target":{"project":"…"},"idempotencyKey":"…","fingerprint":"…","acceptedAt":"…","payload":{…}}]}
//! ```
//!
//! Readers accept members that they do not know. What they cannot do without needs a new `v`; workers are upgraded
//! first, and put a message with a newer `v` back.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::{
    Fingerprint, IdempotencyKey, OrganizationId, Payload, PlaybookId, ProjectId, RunId, Scope, Selector, Slug,
    TemplateId, Timestamp,
};

/// The version written here and the only one read.
pub const VERSION: u64 = 1;

/// Most deliveries that the gateway puts into one message.
pub const MAX_DELIVERIES: usize = 256;

/// Most bytes that a message of one delivery has beyond its payload (headers included): what the broker's
/// `max_payload` must leave room for.
pub const MAX_OVERHEAD: usize = 2048;

const PREFIX: &[u8] = b"{\"v\":1,\"deliveries\":[";
const SUFFIX: &[u8] = b"]}";

/// One accepted delivery: all that the worker needs to create its run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery<'a> {
    /// The run to create.
    pub run_id: RunId,
    /// Organization of the playbook.
    pub organization_id: OrganizationId,
    /// Playbook to run.
    pub playbook_id: PlaybookId,
    /// Project as resolved by the gateway: named by the caller, or the playbook's own.
    pub project_id: ProjectId,
    /// Template as resolved by the gateway.
    pub template_id: TemplateId,
    /// What the caller named, before defaults.
    #[serde(default)]
    pub target: Selector,
    /// The caller's key.
    pub idempotency_key: IdempotencyKey,
    /// Of playbook, target and payload.
    pub fingerprint: Fingerprint,
    /// When the first delivery of this key was accepted.
    pub accepted_at: Timestamp,
    /// The request that was accepted, as its caller or its gateway named it. What is no [request id](is_request_id) is read as none.
    #[serde(borrow, default, deserialize_with = "request_id", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Cow<'a, str>>,
    /// W3C trace context of the caller.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Cow<'a, str>>,
    /// Subject on which a gateway waits for the commit.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Cow<'a, str>>,
    /// The body, byte for byte.
    #[serde(borrow)]
    pub payload: Payload<'a>,
}

/// Whether a text is fit to name a request: 1 to 128 characters of visible ASCII without what JSON escapes, so that it goes
/// through messages, rows and logs as it is.
pub fn is_request_id(text: &[u8]) -> bool {
    let fit = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    (1..=128).contains(&text.len()) && text.iter().all(fit)
}

/// A name is no reason to refuse what it names; and it is stored, where not every text can be.
fn request_id<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    let text = Option::<Text<'a>>::deserialize(deserializer)?;
    Ok(text.map(|Text(text)| text).filter(|text| is_request_id(text.as_bytes())))
}

/// serde borrows what is not escaped only where it is told to.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A delivery's JSON, ready to be grouped. Encoded on the request's own task; grouping then only copies bytes.
#[derive(Clone, Debug)]
pub struct Encoded(Bytes);

impl Delivery<'_> {
    /// This delivery's JSON.
    pub fn encode(&self) -> Encoded {
        let payload = self.payload.as_str();
        let mut out = BytesMut::with_capacity(self.room());
        // By hand: a general serializer takes several times as long, and every request passes here.
        id(&mut out, b"{\"runId\":\"", &self.run_id.0);
        id(&mut out, b"\",\"organizationId\":\"", &self.organization_id.0);
        id(&mut out, b"\",\"playbookId\":\"", &self.playbook_id.0);
        id(&mut out, b"\",\"projectId\":\"", &self.project_id.0);
        id(&mut out, b"\",\"templateId\":\"", &self.template_id.0);
        out.put_slice(b"\",\"target\":{");
        let named = [(&b"\"project\":\""[..], &self.target.project), (b"\"template\":\"", &self.target.template)];
        for (index, (name, slug)) in
            named.into_iter().filter_map(|(name, slug)| Some((name, slug.as_ref()?))).enumerate()
        {
            out.put_slice(if index > 0 { b"," } else { b"" });
            text(&mut out, name, slug.as_str());
            out.put_u8(b'"');
        }
        string(&mut out, b"},\"idempotencyKey\":", self.idempotency_key.as_str());
        out.put_slice(b",\"fingerprint\":\"");
        let mut hex = [0; 64];
        hex::encode_to_slice(self.fingerprint.0, &mut hex).expect("twice 32 bytes");
        out.put_slice(&hex);
        out.put_slice(b"\",\"acceptedAt\":\"");
        out.put_slice(&self.accepted_at.text());
        out.put_u8(b'"');
        for (name, value) in [
            (&b",\"requestId\":"[..], &self.request_id),
            (b",\"traceparent\":", &self.traceparent),
            (b",\"replyTo\":", &self.reply_to),
        ] {
            if let Some(value) = value {
                string(&mut out, name, value);
            }
        }
        text(&mut out, b",\"payload\":", payload);
        out.put_u8(b'}');
        debug_assert!(out.len() == self.room() || self.texts().any(escapes), "its room is {} bytes", self.room());
        Encoded(out.freeze())
    }

    /// Bytes of its JSON, but for what has to be escaped. Exact: then [`Bytes`] needs no second allocation, and mimalloc has a
    /// quicker path for the first one up to 1 KiB, which a usual delivery does not fill.
    fn room(&self) -> usize {
        const FIXED: usize = 423;
        let slug = |name: &str, slug: &Option<Slug>| slug.as_ref().map_or(0, |slug| name.len() + slug.as_str().len());
        let text = |name: &str, text: &Option<Cow<'_, str>>| text.as_ref().map_or(0, |text| name.len() + text.len());
        FIXED
            + slug(r#""project":"""#, &self.target.project)
            + slug(r#""template":"""#, &self.target.template)
            + usize::from(self.target.project.is_some() && self.target.template.is_some())
            + self.idempotency_key.as_str().len()
            + text(r#","requestId":"""#, &self.request_id)
            + text(r#","traceparent":"""#, &self.traceparent)
            + text(r#","replyTo":"""#, &self.reply_to)
            + self.payload.as_str().len()
    }

    /// What may have to be escaped.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let named = [&self.request_id, &self.traceparent, &self.reply_to];
        named.into_iter().flatten().map(|text| &**text).chain([self.idempotency_key.as_str()])
    }

    /// True if run id and fingerprint are those of the other members. A message that was altered, or that somebody
    /// made up, must not create a second run for a key (I1) nor pass for another delivery (I4).
    fn is_consistent(&self) -> bool {
        let scopes = [Scope::Playbook(self.playbook_id), Scope::Organization(self.organization_id)];
        scopes.iter().any(|scope| RunId::compute(*scope, &self.idempotency_key) == self.run_id)
            && Fingerprint::compute(self.playbook_id, &self.target, &self.payload) == self.fingerprint
    }
}

fn id(out: &mut BytesMut, before: &[u8], id: &Uuid) {
    let mut text = [0; Hyphenated::LENGTH];
    out.put_slice(before);
    out.put_slice(id.hyphenated().encode_lower(&mut text).as_bytes());
}

fn text(out: &mut BytesMut, before: &[u8], text: &str) {
    out.put_slice(before);
    out.put_slice(text.as_bytes());
}

/// Whether JSON has to escape some of it. Looks to the end, whatever it finds: that goes many bytes at a time.
fn escapes(text: &str) -> bool {
    text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'"') | (byte == b'\\'))
}

/// Text that JSON may have to escape, which it hardly ever has.
fn string(out: &mut BytesMut, before: &[u8], value: &str) {
    out.put_slice(before);
    if escapes(value) {
        serde_json::to_writer(out.writer(), value).expect("text, into memory");
    } else {
        text(out, b"\"", value);
        out.put_u8(b'"');
    }
}

impl Encoded {
    /// Bytes that this delivery adds to a message, its separator included.
    pub fn cost(&self) -> usize {
        self.0.len() + 1
    }
}

/// The message that carries these deliveries, in this order.
pub fn encode<'a>(deliveries: impl Iterator<Item = &'a Encoded> + Clone) -> Bytes {
    let body: usize = deliveries.clone().map(Encoded::cost).sum();
    let mut message = BytesMut::with_capacity(PREFIX.len() + body + SUFFIX.len());
    message.put_slice(PREFIX);
    for (index, delivery) in deliveries.enumerate() {
        if index > 0 {
            message.put_u8(b',');
        }
        message.put_slice(&delivery.0);
    }
    message.put_slice(SUFFIX);
    message.freeze()
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer gateway: to be put back, not dropped.
    #[error("envelope version {0} is not known here (known: {VERSION})")]
    UnsupportedVersion(u64),
    /// No envelope at all, of any version.
    #[error("malformed envelope: {0}")]
    Malformed(String),
}

#[derive(Deserialize)]
struct Head {
    v: u64,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    v: u64,
    #[serde(borrow)]
    deliveries: Vec<Delivery<'a>>,
}

/// The deliveries of a message, at least one, payloads borrowed from `message`.
///
/// # Errors
/// See [`DecodeError`]; its text names the place, never the content (I7).
pub fn decode(message: &[u8]) -> Result<Vec<Delivery<'_>>, DecodeError> {
    match serde_json::from_slice::<Envelope<'_>>(message) {
        Ok(envelope) if envelope.v > VERSION => Err(DecodeError::UnsupportedVersion(envelope.v)),
        Ok(envelope) if envelope.v != VERSION => Err(DecodeError::Malformed("there is no version 0".to_owned())),
        Ok(envelope) if envelope.deliveries.is_empty() => Err(DecodeError::Malformed("no deliveries".to_owned())),
        Ok(envelope) => match envelope.deliveries.iter().position(|delivery| !delivery.is_consistent()) {
            Some(index) => Err(DecodeError::Malformed(format!("delivery {index} is not what its ids say"))),
            None => Ok(envelope.deliveries),
        },
        // Only now, off the usual path: is it merely newer?
        Err(error) => match serde_json::from_slice::<Head>(message) {
            Ok(head) if head.v > VERSION => Err(DecodeError::UnsupportedVersion(head.v)),
            _ => Err(DecodeError::Malformed(place(&error))),
        },
    }
}

/// serde's own text can quote the offending value; the place and the kind are enough to find it.
fn place(error: &serde_json::Error) -> String {
    format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column())
}
