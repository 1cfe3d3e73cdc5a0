//! One consistent picture of the catalog.

use std::collections::HashMap;
use std::sync::Arc;

use proto::secret::Digest;
use proto::{IdempotencyKey, OrganizationId, PlaybookId, ProjectId, RunId, Scope, Slug, TemplateId};
use schema::{InputSchema, Mode};

/// All organizations, and the global kill switch.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) organizations: HashMap<Slug, Arc<Organization>>,
    pub(super) killed: bool,
}

/// An organization with all that belongs to it.
#[derive(Debug)]
pub struct Organization {
    /// Primary key.
    pub id: OrganizationId,
    /// Name in the URL.
    pub slug: Slug,
    /// True if a key is unique in the whole organization, not only in its playbook.
    pub scoped: bool,
    /// True while the organization's own kill switch is engaged.
    pub killed: bool,
    /// Projects by slug.
    pub projects: HashMap<Slug, ProjectId>,
    /// Templates by slug.
    pub templates: HashMap<Slug, TemplateId>,
    /// Playbooks by slug.
    pub playbooks: HashMap<Slug, Arc<Playbook>>,
}

/// A playbook and who may start it.
#[derive(Debug)]
pub struct Playbook {
    /// Primary key.
    pub id: PlaybookId,
    /// Name in the URL.
    pub slug: Slug,
    /// False refuses its deliveries.
    pub enabled: bool,
    /// Target where the caller names none.
    pub project: ProjectId,
    /// Target where the caller names none.
    pub template: TemplateId,
    /// Digests of its live secrets, at most two.
    pub secrets: Vec<Digest>,
    /// What payloads have to be.
    pub input: Option<Input>,
}

/// A playbook's input schema.
#[derive(Clone, Debug)]
pub struct Input {
    /// What becomes of payloads that are not as it says.
    pub mode: Mode,
    /// None where it does not compile, and so holds nobody to anything.
    pub schema: Option<Arc<InputSchema>>,
    /// As the database has it.
    pub(super) text: Arc<str>,
}

impl Snapshot {
    /// Looks up what a URL names.
    pub fn find(&self, organization: &str, playbook: &str) -> Option<(&Arc<Organization>, &Arc<Playbook>)> {
        let organization = self.organizations.get(organization)?;
        Some((organization, organization.playbooks.get(playbook)?))
    }

    /// Playbooks, as `organization/playbook`, whose schema does not compile.
    pub fn broken_schemas(&self) -> impl Iterator<Item = String> {
        self.organizations.values().flat_map(|organization| {
            let broken = |playbook: &Playbook| playbook.input.as_ref().is_some_and(|input| input.schema.is_none());
            let broken = organization.playbooks.values().filter(move |playbook| broken(playbook));
            broken.map(|playbook| format!("{}/{}", organization.slug, playbook.slug))
        })
    }

    /// True while a kill switch stops this organization.
    pub fn kills(&self, organization: &Organization) -> bool {
        self.killed || organization.killed
    }
}

impl Organization {
    /// The run that `key` names when it is sent to `playbook`.
    pub fn run_id(&self, playbook: &Playbook, key: &IdempotencyKey) -> RunId {
        let scope = if self.scoped { Scope::Organization(self.id) } else { Scope::Playbook(playbook.id) };
        RunId::compute(scope, key)
    }
}
