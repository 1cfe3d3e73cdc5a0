//! The target that a delivery names in its URL.

use serde::{Deserialize, Serialize};

use crate::Slug;

/// What `?project=…&template=…` asked for, decoded, with the playbook's defaults *not* filled in: a playbook whose
/// default target changes must still recognise the retry of an old delivery.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Selector {
    /// Slug of a project other than the playbook's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Slug>,
    /// Slug of a template other than the playbook's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Slug>,
}
