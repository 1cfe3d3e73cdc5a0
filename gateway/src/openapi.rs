//! The contract, for machines: `openapi.json` beside this folder, as it stands. Tests hold it and the code together.

use http::Method;

use crate::refusal::Refusal;

/// Where it is told, to anybody.
pub(crate) const PATH: &str = "/api/openapi.json";

/// OpenAPI 3.1.
pub(crate) static DOCUMENT: &str = include_str!("../openapi.json");

/// Whether it is told.
pub(crate) fn read(method: &Method, on: bool) -> Result<(), Refusal> {
    match *method {
        _ if !on => Err(Refusal::NotFound),
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proto::{InvalidPayload, RunId};
    use serde_json::Value;

    use super::*;

    const DELIVERY: &str = "post /webhooks/orgs/{orgSlug}/playbooks/{playbookSlug}";
    const BATCH: &str = "post /webhooks/orgs/{orgSlug}/playbooks/{playbookSlug}/batch";
    const RUNS: &str = "get /webhooks/orgs/{orgSlug}/playbooks/{playbookSlug}/runs";
    const RUN: &str = "get /webhooks/orgs/{orgSlug}/playbooks/{playbookSlug}/runs/{runId}";
    const DOCUMENT_ITSELF: &str = "get /openapi.json";

    /// Where each refusal may be the answer. A new one has to be thought of here, and then in the document.
    fn told_by(refusal: &Refusal) -> &'static [&'static str] {
        match refusal {
            Refusal::Waited(refusal, _) => told_by(refusal),
            Refusal::NotFound => &[DELIVERY, BATCH, RUNS, RUN, DOCUMENT_ITSELF],
            // To a method that no operation has.
            Refusal::MethodNotAllowed(_) => &[],
            Refusal::Overloaded => &[DELIVERY, BATCH, RUNS, RUN, DOCUMENT_ITSELF],
            Refusal::InvalidSecret | Refusal::Unavailable(_) | Refusal::Internal(_) => &[DELIVERY, BATCH, RUNS, RUN],
            Refusal::PlaybookDisabled | Refusal::KillSwitchEngaged | Refusal::UnsupportedEncoding => &[DELIVERY, BATCH],
            Refusal::MissingIdempotencyKey | Refusal::InvalidIdempotencyKey => &[DELIVERY, RUNS],
            Refusal::UnsupportedMediaType => &[BATCH],
            Refusal::InvalidQuery
            | Refusal::PayloadTooLarge
            | Refusal::InvalidBody(_)
            | Refusal::InvalidGzip
            | Refusal::OffSchema(_)
            | Refusal::BrokenBody
            | Refusal::ProjectNotFound
            | Refusal::TemplateNotFound
            | Refusal::TargetNotFound
            | Refusal::DataRefused
            | Refusal::Conflict(_)
            | Refusal::RequestTimeout => &[DELIVERY],
            // Of a line, whose answer is told by the batch's 200.
            Refusal::InvalidLine(_) => &[],
        }
    }

    fn all() -> Vec<Refusal> {
        vec![
            Refusal::NotFound,
            Refusal::MethodNotAllowed(""),
            Refusal::Overloaded,
            Refusal::InvalidSecret,
            Refusal::PlaybookDisabled,
            Refusal::KillSwitchEngaged,
            Refusal::MissingIdempotencyKey,
            Refusal::InvalidIdempotencyKey,
            Refusal::InvalidQuery,
            Refusal::UnsupportedMediaType,
            Refusal::UnsupportedEncoding,
            Refusal::PayloadTooLarge,
            Refusal::InvalidBody(InvalidPayload::Empty),
            Refusal::InvalidLine(""),
            Refusal::InvalidGzip,
            Refusal::OffSchema(vec![]),
            Refusal::BrokenBody,
            Refusal::ProjectNotFound,
            Refusal::TemplateNotFound,
            Refusal::TargetNotFound,
            Refusal::DataRefused,
            Refusal::Conflict(RunId(uuid::Uuid::nil())),
            Refusal::Unavailable(""),
            Refusal::RequestTimeout,
            Refusal::Internal(""),
        ]
    }

    #[test]
    fn the_document_has_every_refusal_where_it_may_be_told_and_no_other() {
        let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
        for operation in [DELIVERY, BATCH, RUNS, RUN, DOCUMENT_ITSELF] {
            let (method, path) = operation.split_once(' ').expect("a method and a path");
            let responses = document["paths"][path][method]["responses"].as_object().expect("responses");
            let mut documented = BTreeSet::new();
            for (status, response) in
                responses.iter().filter(|(status, _)| status.as_str() >= "400" && *status != "431")
            {
                let codes =
                    &response["content"]["application/json"]["schema"]["allOf"][1]["properties"]["error"]["enum"];
                for code in codes.as_array().unwrap_or_else(|| panic!("{operation} {status}: no codes")) {
                    documented.insert((status.clone(), code.as_str().expect("text").to_owned()));
                }
            }
            let told: BTreeSet<_> = all()
                .iter()
                .filter(|refusal| told_by(refusal).contains(&operation))
                .map(|refusal| (refusal.told().status.as_str().to_owned(), refusal.told().code.to_owned()))
                .collect();
            assert_eq!(documented, told, "{operation}");
        }
        // Lines of a batch are answered with the codes of a delivery, without what is decided for the whole: even a secret may
        // be revoked while it is being sent.
        let lines =
            document["components"]["schemas"]["BatchAnswer"]["properties"]["code"]["enum"].as_array().expect("codes");
        let of_lines: BTreeSet<_> = lines.iter().filter_map(Value::as_u64).filter(|code| *code >= 400).collect();
        let whole = ["unsupported_content_encoding"];
        let single: BTreeSet<_> = all()
            .iter()
            .filter(|refusal| told_by(refusal).contains(&DELIVERY) && !whole.contains(&refusal.told().code))
            .map(|refusal| u64::from(refusal.told().status.as_u16()))
            .collect();
        assert_eq!(of_lines, single);
    }
}
