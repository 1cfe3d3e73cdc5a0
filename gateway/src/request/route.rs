//! Check 1: route and method.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;
use proto::{RunId, Slug};
use uuid::Uuid;

use crate::refusal::Refusal;

/// What a URL names.
#[derive(Debug)]
pub struct Route<'a> {
    /// Slug of the organization.
    pub organization: Cow<'a, str>,
    /// Slug of the playbook.
    pub playbook: Cow<'a, str>,
    /// What of the playbook.
    pub resource: Resource,
}

/// What there is below a playbook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// The playbook itself, to which deliveries are sent.
    Deliveries,
    /// `/batch`, to which many are sent at once.
    Batch,
    /// `/runs`: the run of the key in the query.
    Runs,
    /// `/runs/{runId}`: that run.
    Run(RunId),
}

impl<'a> Route<'a> {
    /// Reads `/api/webhooks/orgs/{org}/playbooks/{playbook}` and what is below it, and whether the method is served there.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], or [`Refusal::MethodNotAllowed`] with those that are.
    pub fn read(method: &Method, path: &'a str) -> Result<Self, Refusal> {
        let route = Self::parse(path).ok_or(Refusal::NotFound)?;
        match route.resource {
            Resource::Deliveries | Resource::Batch if method == Method::POST => Ok(route),
            Resource::Deliveries | Resource::Batch => Err(Refusal::MethodNotAllowed("POST")),
            Resource::Runs | Resource::Run(_) if matches!(*method, Method::GET | Method::HEAD) => Ok(route),
            Resource::Runs | Resource::Run(_) => Err(Refusal::MethodNotAllowed("GET, HEAD")),
        }
    }

    fn parse(path: &'a str) -> Option<Self> {
        let (organization, rest) = path.strip_prefix("/api/webhooks/orgs/")?.split_once('/')?;
        let rest = rest.strip_prefix("playbooks/")?;
        let (playbook, resource) = match rest.split_once('/') {
            None => (rest, Resource::Deliveries),
            Some((playbook, "batch")) => (playbook, Resource::Batch),
            Some((playbook, "runs")) => (playbook, Resource::Runs),
            Some((playbook, below)) => (playbook, Resource::Run(run(below.strip_prefix("runs/")?)?)),
        };
        Some(Self { organization: slug(organization)?, playbook: slug(playbook)?, resource })
    }
}

/// A slug has no `/`, so a decoded `%2F`, a trailing slash and a longer path all fail here.
fn slug(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok().filter(|text| Slug::is_valid(text))
}

/// As `Location` has it; the other ways to write a UUID name nothing here.
fn run(segment: &str) -> Option<RunId> {
    let hyphenated = segment.len() == uuid::fmt::Hyphenated::LENGTH;
    hyphenated.then(|| Uuid::try_parse(segment).ok().map(RunId)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let run = "74cb6e12-7c51-8d32-85d1-e9ce1cdd28c8";
        let the_run = Resource::Run(RunId(run.parse().expect("a uuid")));
        let below = |tail: &str| format!("/api/webhooks/orgs/acme/playbooks/deploy{tail}");
        for (path, expected) in [
            (below(""), Some(("acme", "deploy", Resource::Deliveries))),
            ("/api/webhooks/orgs/%61cme/playbooks/de%70loy".to_owned(), Some(("acme", "deploy", Resource::Deliveries))),
            (
                "/api/webhooks/orgs/playbooks/playbooks/playbooks".to_owned(),
                Some(("playbooks", "playbooks", Resource::Deliveries)),
            ),
            ("/api/webhooks/orgs/acme/playbooks/runs/runs".to_owned(), Some(("acme", "runs", Resource::Runs))),
            (below("/batch"), Some(("acme", "deploy", Resource::Batch))),
            (below("/batch/"), None),
            ("/api/webhooks/orgs/acme".to_owned(), None),
            ("/api/webhooks/orgs/acme/x/playbooks/deploy".to_owned(), None),
            (below("/runs"), Some(("acme", "deploy", Resource::Runs))),
            (below(&format!("/runs/{run}")), Some(("acme", "deploy", the_run))),
            (below(&format!("/runs/{}", run.to_uppercase())), Some(("acme", "deploy", the_run))),
            (below("/"), None),
            (below("%2F"), None),
            (below("/run"), None),
            (below("/runs/"), None),
            (below("/runs/1"), None),
            (below(&format!("/runs/{run}/")), None),
            (below(&format!("/runs/{}", run.replace('-', ""))), None),
            (below(&format!("/runs/{{{}}}", &run[1..35])), None),
            (below(&format!("/runs//{run}")), None),
            (below(&format!("/{run}")), None),
            ("/api/webhooks/orgs/acme%2Fplaybooks/deploy".to_owned(), None),
            ("/api/webhooks/orgs/acme//playbooks/deploy".to_owned(), None),
            ("/api/webhooks/orgs/Acme/playbooks/deploy".to_owned(), None),
            ("/api/webhooks/orgs//playbooks/deploy".to_owned(), None),
            ("/api/webhooks/orgs/acme/playbooks/%ff".to_owned(), None),
            ("/webhooks/orgs/acme/playbooks/deploy".to_owned(), None),
            ("*".to_owned(), None),
            (String::new(), None),
        ] {
            let found = Route::parse(&path);
            let found = found.as_ref().map(|route| (&*route.organization, &*route.playbook, route.resource));
            assert_eq!(found, expected, "{path}");
        }
    }
}
