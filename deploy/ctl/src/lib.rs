//! The operator's command line: everything that is done to Runlatch by hand.
//!
//! A command reads its arguments ([`Cli`]), connects to Postgres, does its work in one transaction and says on stdout
//! what it changed. What a script would not want to read goes to stderr. It never talks to a gateway or a worker:
//! the database tells them. Only `audit` also looks at the queue.
//!
//! Nothing here prints a secret (but the one that `secret create` has just made), a pepper or a database URL, and only
//! `dead-letters show` prints a payload (I7).

mod audit;
mod catalog;
mod cli;
mod database;
mod dead_letters;
mod drill;
mod error;
mod kill_switch;
pub mod migrate;
mod nats;
mod output;
mod pepper;
mod secret;
mod table;

pub use cli::Cli;
pub use error::Error;
pub use output::remark;

use cli::{CatalogCommand, Command, SecretCommand};

/// Does what the arguments ask for.
///
/// # Errors
/// See [`Error`]; its text is for the operator, as it stands.
pub async fn run(cli: Cli) -> Result<(), Error> {
    let url = cli.database_url.as_deref();
    match cli.command {
        Command::Migrate => migrate::run(&mut database::connect_as_owner(url).await?).await,
        Command::Catalog(CatalogCommand::Apply { file, dry_run }) => {
            let wanted = catalog::read(&file)?;
            catalog::apply(&mut database::connect(url).await?, &wanted, dry_run).await
        }
        Command::Secret(SecretCommand::Create { playbook, stdin, pepper_file }) => {
            let pepper = pepper::load(pepper_file.as_deref())?;
            let secret = if stdin { secret::read()? } else { secret::generate()? };
            secret::create(&mut database::connect(url).await?, &playbook, &secret, &pepper).await
        }
        Command::Secret(SecretCommand::List { playbook }) => {
            secret::list(&database::connect(url).await?, &playbook).await
        }
        Command::Secret(SecretCommand::Revoke { id }) => secret::revoke(&database::connect(url).await?, id).await,
        Command::KillSwitch { state, organization } => {
            kill_switch::set(&mut database::connect(url).await?, state, organization.as_ref()).await
        }
        Command::DeadLetters(command) => dead_letters::run(command, url).await,
        // Not with that URL: it has a database of its own.
        Command::Drill(args) => drill::run(&args).await,
        Command::Audit(audit) => audit::run(audit, url).await,
    }
}

/// Checks a catalog file's bytes as `catalog apply` does, without a database: for property tests and fuzzing.
#[doc(hidden)]
pub fn check_catalog(bytes: Vec<u8>) -> Result<(), Error> {
    catalog::parse("file", bytes, &|_| Err("not read here".to_owned())).map(drop)
}
