//! Check 1: route and method.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;
use proto::Slug;

use crate::refusal::Refusal;

/// The playbook that a URL names.
#[derive(Debug)]
pub struct Route<'a> {
    /// Slug of the organization.
    pub organization: Cow<'a, str>,
    /// Slug of the playbook.
    pub playbook: Cow<'a, str>,
}

impl<'a> Route<'a> {
    /// Reads `/api/webhooks/orgs/{org}/playbooks/{playbook}`; only `POST` is served there.
    pub fn read(method: &Method, path: &'a str) -> Result<Self, Refusal> {
        let route = Self::parse(path).ok_or(Refusal::NotFound)?;
        if method == Method::POST { Ok(route) } else { Err(Refusal::MethodNotAllowed) }
    }

    fn parse(path: &'a str) -> Option<Self> {
        let (organization, playbook) = path.strip_prefix("/api/webhooks/orgs/")?.split_once("/playbooks/")?;
        Some(Self { organization: slug(organization)?, playbook: slug(playbook)? })
    }
}

/// A slug has no `/`, so a decoded `%2F`, a trailing slash and a longer path all fail here.
fn slug(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok().filter(|text| Slug::is_valid(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, expected) in [
            ("/api/webhooks/orgs/acme/playbooks/deploy", Some(("acme", "deploy"))),
            ("/api/webhooks/orgs/%61cme/playbooks/de%70loy", Some(("acme", "deploy"))),
            ("/api/webhooks/orgs/playbooks/playbooks/playbooks", Some(("playbooks", "playbooks"))),
            ("/api/webhooks/orgs/acme/playbooks/deploy/", None),
            ("/api/webhooks/orgs/acme/playbooks/deploy%2F", None),
            ("/api/webhooks/orgs/acme%2Fplaybooks/deploy", None),
            ("/api/webhooks/orgs/acme//playbooks/deploy", None),
            ("/api/webhooks/orgs/Acme/playbooks/deploy", None),
            ("/api/webhooks/orgs//playbooks/deploy", None),
            ("/api/webhooks/orgs/acme/playbooks/%ff", None),
            ("/api/webhooks/orgs/acme/playbooks/deploy/runs/1", None),
            ("/webhooks/orgs/acme/playbooks/deploy", None),
            ("*", None),
            ("", None),
        ] {
            let found = Route::parse(path);
            let found = found.as_ref().map(|route| (&*route.organization, &*route.playbook));
            assert_eq!(found, expected, "{path}");
        }
    }
}
