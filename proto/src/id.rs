//! Row ids of the catalog. One type each, so that a project's id cannot stand where a template's belongs.

macro_rules! row_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

row_id! {
    /// Primary key of `organizations`.
    OrganizationId;
    /// Primary key of `playbooks`.
    PlaybookId;
    /// Primary key of `projects`.
    ProjectId;
    /// Primary key of `templates`.
    TemplateId;
}
