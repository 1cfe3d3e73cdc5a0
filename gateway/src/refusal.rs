//! Every way to refuse a delivery, and the one place where refusals meet status codes.

use http::StatusCode;
use proto::{InvalidPayload, RunId};
use schema::Issue;

/// Why a delivery is refused. None of these binds the idempotency key, except that an [`Refusal::Unavailable`] may
/// leave it bound to its own payload, and what the worker found ([`Refusal::Waited`]) has: whatever was refused may be sent
/// again as it is (I6).
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No such route, organization or playbook.
    #[error("no such webhook")]
    NotFound,
    /// The route exists; only these methods are served there.
    #[error("only {0} is served here")]
    MethodNotAllowed(&'static str),
    /// As many deliveries as allowed are in flight, or as many reads.
    #[error("too many requests in flight")]
    Overloaded,
    /// Secret missing, repeated, too long or wrong.
    #[error("invalid secret")]
    InvalidSecret,
    /// Right secret; the playbook is switched off.
    #[error("the playbook is disabled")]
    PlaybookDisabled,
    /// Right secret; a kill switch is engaged.
    #[error("a kill switch is engaged")]
    KillSwitchEngaged,
    /// No `X-Idempotency-Key`.
    #[error("no idempotency key")]
    MissingIdempotencyKey,
    /// More than one, or not 1 to 255 visible ASCII characters.
    #[error("invalid idempotency key")]
    InvalidIdempotencyKey,
    /// `project` or `template` repeated, empty or malformed.
    #[error("invalid query")]
    InvalidQuery,
    /// A batch is no NDJSON.
    #[error("unsupported media type")]
    UnsupportedMediaType,
    /// `Content-Encoding` is neither gzip nor none.
    #[error("unsupported content encoding")]
    UnsupportedEncoding,
    /// Body over the limit, packed or unpacked.
    #[error("body over the limit")]
    PayloadTooLarge,
    /// Body is no payload.
    #[error("invalid body: {0}")]
    InvalidBody(#[from] InvalidPayload),
    /// A line of a batch is no delivery.
    #[error("{0}")]
    InvalidLine(&'static str),
    /// Body is said to be packed by gzip, and is not.
    #[error("the body is not valid gzip")]
    InvalidGzip,
    /// Payload is not as the playbook's input schema says.
    #[error("the payload is not as the playbook's input schema says")]
    OffSchema(Vec<Issue>),
    /// Body was cut off, or framed wrongly.
    #[error("the body did not arrive whole")]
    BrokenBody,
    /// The organization has no such project.
    #[error("no such project")]
    ProjectNotFound,
    /// The organization has no such template.
    #[error("no such template")]
    TemplateNotFound,
    /// The worker found project, template or playbook gone.
    #[error("the target has gone since the delivery was accepted")]
    TargetNotFound,
    /// The database refuses what is in the payload.
    #[error("the database refuses the payload")]
    DataRefused,
    /// The key names a run with another payload or target.
    #[error("the key names {0}, which has another payload or target")]
    Conflict(RunId),
    /// Found out while its caller waited, which was for so many seconds at most.
    #[error("{0}")]
    Waited(Box<Self>, u8),
    /// Queue, catalog, Redis or Postgres cannot be relied on now, or there is no target for what may have been accepted. Why is said
    /// to operators where it is found out, once and not for each delivery.
    #[error("unavailable: {0}")]
    Unavailable(&'static str),
    /// The client took too long to send the body.
    #[error("the client was too slow")]
    RequestTimeout,
    /// A fault of ours; the text is for the log.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// What the caller is told.
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    /// The contract's error code, which is also the metric label.
    pub(crate) code: &'static str,
    /// Seconds after which to try again, at the earliest.
    pub(crate) retry_after: Option<u32>,
}

impl Refusal {
    /// Status and code of each refusal.
    pub(crate) const fn told(&self) -> Told {
        use StatusCode as S;
        let (status, code, retry_after) = match self {
            Self::Waited(refusal, _) => return refusal.told(),
            Self::NotFound => (S::NOT_FOUND, "not_found", None),
            Self::MethodNotAllowed(_) => (S::METHOD_NOT_ALLOWED, "method_not_allowed", None),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", Some(1)),
            Self::InvalidSecret => (S::UNAUTHORIZED, "invalid_secret", None),
            Self::PlaybookDisabled => (S::NOT_FOUND, "playbook_disabled", None),
            Self::KillSwitchEngaged => (S::NOT_FOUND, "kill_switch_engaged", None),
            Self::MissingIdempotencyKey => (S::BAD_REQUEST, "missing_idempotency_key", None),
            Self::InvalidIdempotencyKey => (S::BAD_REQUEST, "invalid_idempotency_key", None),
            Self::InvalidQuery => (S::BAD_REQUEST, "invalid_query", None),
            Self::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", None),
            Self::UnsupportedEncoding => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding", None),
            Self::PayloadTooLarge => (S::PAYLOAD_TOO_LARGE, "payload_too_large", None),
            Self::InvalidBody(_) | Self::InvalidLine(_) | Self::InvalidGzip | Self::OffSchema(_) | Self::BrokenBody => {
                (S::BAD_REQUEST, "invalid_body", None)
            }
            Self::ProjectNotFound => (S::UNPROCESSABLE_ENTITY, "project_not_found", None),
            Self::TemplateNotFound => (S::UNPROCESSABLE_ENTITY, "template_not_found", None),
            Self::TargetNotFound => (S::UNPROCESSABLE_ENTITY, "target_not_found", None),
            Self::DataRefused => (S::UNPROCESSABLE_ENTITY, "data_refused", None),
            Self::Conflict(_) => (S::CONFLICT, "idempotency_conflict", None),
            Self::Unavailable(_) => (S::SERVICE_UNAVAILABLE, "unavailable", Some(1)),
            Self::RequestTimeout => (S::REQUEST_TIMEOUT, "request_timeout", None),
            Self::Internal(_) => (S::INTERNAL_SERVER_ERROR, "internal", None),
        };
        Told { status, code, retry_after }
    }
}
