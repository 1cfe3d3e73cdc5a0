//! Checks 3 to 6: who is calling, and whether the playbook may be started.

use std::ops::Deref;
use std::sync::Arc;

use proto::secret::{Digest, Pepper, Secret};
use proto::{IdempotencyKey, ProjectId, RunId, Selector, TemplateId};

use crate::catalog::{Organization, Playbook, Snapshot};
use crate::refusal::Refusal;
use crate::request::headers::Header;
use crate::request::route::Route;

/// Somebody who holds a live secret of a playbook. Made only by [`authenticate`].
pub struct Caller {
    organization: Arc<Organization>,
    playbook: Arc<Playbook>,
    killed: bool,
}

/// A caller whose playbook may be started. Made only by [`Caller::may_send`].
pub struct Sender(Caller);

/// Where a run is to take place.
#[derive(Clone, Copy)]
pub struct Target {
    pub(crate) project: ProjectId,
    pub(crate) template: TemplateId,
}

/// Digests of nothing, to be compared with where a playbook has fewer live secrets than it may have.
const DECOYS: [Digest; 2] = [Digest::from_bytes([0; 32]); 2];

/// Checks 3 to 5: the secret, against the playbook's live ones.
pub fn authenticate(
    snapshot: &Snapshot,
    pepper: &Pepper,
    route: &Route<'_>,
    secret: Header<'_>,
) -> Result<Caller, Refusal> {
    let secret = match secret {
        Header::Once(secret) if secret.len() <= Secret::MAX_LEN => secret.as_bytes(),
        Header::Once(_) | Header::Missing | Header::Repeated => return Err(Refusal::InvalidSecret),
    };
    // Before the look-up: an unknown playbook must not answer faster than a disabled one, whose existence is told
    // only to who holds its secret.
    let digest: Digest = pepper.digest(secret);
    let found = snapshot.find(&route.organization, &route.playbook);
    // As many comparisons in every case, whether there are two live secrets, one, none, or no such playbook.
    let live = found.map_or(&[][..], |(_, playbook)| &playbook.secrets);
    let right = digest.matches_any(live) & !digest.matches_any(&DECOYS[live.len().min(DECOYS.len())..]);
    let (organization, playbook) = found.ok_or(Refusal::NotFound)?;
    let killed = snapshot.kills(organization);
    match (right, playbook.enabled && !killed) {
        (true, _) => Ok(Caller { organization: Arc::clone(organization), playbook: Arc::clone(playbook), killed }),
        (false, true) => Err(Refusal::InvalidSecret),
        (false, false) => Err(Refusal::NotFound),
    }
}

impl Caller {
    /// Check 6: whether the playbook may be started.
    pub fn may_send(self) -> Result<Sender, Refusal> {
        match (self.playbook.enabled, self.killed) {
            (true, false) => Ok(Sender(self)),
            (false, _) => Err(Refusal::PlaybookDisabled),
            (true, true) => Err(Refusal::KillSwitchEngaged),
        }
    }

    pub(crate) fn organization(&self) -> &Organization {
        &self.organization
    }

    pub(crate) fn playbook(&self) -> &Playbook {
        &self.playbook
    }

    /// What the URL names, in the catalog's words.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.organization.slug, self.playbook.slug)
    }

    /// The run that `key` names for this caller.
    pub fn run_id(&self, key: &IdempotencyKey) -> RunId {
        self.organization.run_id(&self.playbook, key)
    }
}

impl Deref for Sender {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl Sender {
    /// Check 12: the target that the query names, or the playbook's own.
    pub fn resolve(&self, selector: &Selector) -> Result<Target, Refusal> {
        let project = match &selector.project {
            None => self.playbook.project,
            Some(slug) => *self.organization.projects.get(slug).ok_or(Refusal::ProjectNotFound)?,
        };
        let template = match &selector.template {
            None => self.playbook.template,
            Some(slug) => *self.organization.templates.get(slug).ok_or(Refusal::TemplateNotFound)?,
        };
        Ok(Target { project, template })
    }
}
