//! The arguments.

use std::{ffi::OsString, path::PathBuf, str::FromStr};

use clap::{Parser, Subcommand, ValueEnum};
use proto::Slug;
use uuid::Uuid;

use crate::{audit::Audit, dead_letters::DeadLettersCommand, drill};

/// Operates Runlatch: its schema, its catalog, its secrets, its kill switches, its dead letters, and
/// whether all of it adds up.
#[derive(Parser)]
#[command(name = "runlatch", version, arg_required_else_help = true)]
pub struct Cli {
    /// The database, as the operator (for `migrate`: as its owner). The variable is the better place: a flag shows in
    /// the process list.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Bring the database's schema up to date. Safe to repeat, and to run twice at once.
    Migrate,
    /// Declare organizations with their projects, templates and playbooks.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Say who may deliver to a playbook.
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Refuse all deliveries, or those to one organization, or take that back. In force within a second.
    KillSwitch {
        /// What the switch shall be.
        state: SwitchState,
        /// The organization's slug; without it, everybody.
        #[arg(value_name = "ORG")]
        organization: Option<Slug>,
    },
    /// Look after deliveries that were accepted and could not become a run.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Prove on a stack of its own that nothing is lost and nothing doubled while its parts are killed.
    Drill(drill::Args),
    /// Prove from the record that nothing that was accepted is missing. Changes nothing, and may run while the system does.
    #[command(after_help = crate::audit::HELP)]
    Audit(Audit),
}

#[derive(Subcommand)]
pub(crate) enum CatalogCommand {
    /// Make the catalog what a TOML file says. Never deletes, never renames; safe to repeat.
    #[command(after_help = catalog_help())]
    Apply {
        /// The file; `-` is stdin.
        file: PathBuf,
        /// Say what would change, and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum SecretCommand {
    /// Make a secret and print it, this once. RUNLATCH_PEPPER or RUNLATCH_PEPPER_FILE must hold the gateways' pepper.
    Create {
        /// The playbook that it opens.
        #[arg(value_name = "ORG/PLAYBOOK")]
        playbook: PlaybookPath,
        /// Take an existing secret from stdin (24 to 512 visible ASCII characters) instead of making one.
        #[arg(long)]
        stdin: bool,
        /// File that holds the pepper, where RUNLATCH_PEPPER does not.
        #[arg(long, env = "RUNLATCH_PEPPER_FILE", hide_env_values = true, value_name = "FILE")]
        // Not a PathBuf: clap refuses an empty one, and an empty variable is as good as none.
        pepper_file: Option<OsString>,
    },
    /// List a playbook's secrets, newest last: id, time of creation, live or revoked.
    List {
        /// The playbook.
        #[arg(value_name = "ORG/PLAYBOOK")]
        playbook: PlaybookPath,
    },
    /// Revoke a secret, for good.
    Revoke {
        /// The secret's id, as `secret list` shows it.
        #[arg(value_parser = secret_id)]
        id: Uuid,
    },
}

/// What a kill switch can be set to.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SwitchState {
    /// Deliveries are refused.
    On,
    /// Deliveries are accepted.
    Off,
}

/// `ORG/PLAYBOOK`, as in the webhook's URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PlaybookPath {
    pub(crate) organization: Slug,
    pub(crate) playbook: Slug,
}

impl FromStr for PlaybookPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (organization, playbook) = text.split_once('/').ok_or("expected two slugs, ORG/PLAYBOOK")?;
        let slug = |text: &str| text.parse().map_err(|error: proto::InvalidSlug| error.to_string());
        Ok(Self { organization: slug(organization)?, playbook: slug(playbook)? })
    }
}

impl std::fmt::Display for PlaybookPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.organization, self.playbook)
    }
}

/// uuid's own error quotes what it was given, and that may be the secret itself (I7).
fn secret_id(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| "expected the secret's id, as `secret list` shows it")
}

const fn catalog_help() -> &'static str {
    r#"The file:

  [organizations.acme]
  name = "Acme Inc"                     # optional: the slug
  idempotency_scope = "organization"    # optional: "playbook"; fixed when the organization is created

  [organizations.acme.projects.backend]
  [organizations.acme.templates.nightly]

  [organizations.acme.playbooks.deploy]
  project = "backend"
  template = "nightly"
  enabled = false                       # optional: true

An entry is wholly as the file says: what it leaves out has its default again. An entry that the file does not
name is left as it is. A playbook may refer to a project or template that only the database has."#
}
