//! `runlatch catalog apply`: makes the catalog what a file says.
//!
//! The file is read whole (`file`), the database's side of it is loaded into the same shape (`stored`), the
//! difference is worked out without touching anything (`plan`) and then written (`write`), all in one transaction.

mod file;
mod input;
mod plan;
mod stored;
mod write;

use std::{collections::BTreeMap, io::Read as _, path::Path};

use proto::Slug;
use tokio_postgres::Client;

use self::input::Input;
use crate::{Error, database::Lock, output::say};

/// Organizations by slug, as a file declares them or as the database has them.
pub(crate) type Catalog = BTreeMap<Slug, Organization>;

#[derive(Default)]
pub(crate) struct Organization {
    name: String,
    scope: Scope,
    projects: BTreeMap<Slug, String>,
    templates: BTreeMap<Slug, String>,
    playbooks: BTreeMap<Slug, Playbook>,
}

struct Playbook {
    name: String,
    project: Slug,
    template: Slug,
    enabled: bool,
    input: Option<Input>,
}

/// Within what an idempotency key is unique.
#[derive(Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    #[default]
    Playbook,
    Organization,
}

impl Scope {
    /// As file and database write it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Playbook => "playbook",
            Self::Organization => "organization",
        }
    }
}

/// Reads and checks the file; `-` is stdin. Files that it names are looked for beside it, or in the working directory.
pub(crate) fn read(path: &Path) -> Result<Catalog, Error> {
    let (place, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        ("stdin".to_owned(), std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes))
    } else {
        (path.display().to_string(), std::fs::read(path))
    };
    let bytes = bytes.map_err(|error| Error::Input(vec![format!("{place}: {error}")]))?;
    let beside = path.parent().unwrap_or(Path::new(""));
    parse(&place, bytes, &|name| input::read(&beside.join(name)))
}

/// How a file that the catalog's file names is read.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Checks what was read. Apart from [`read`] so that tests can throw any bytes at it.
pub(crate) fn parse(place: &str, bytes: Vec<u8>, read: Read<'_>) -> Result<Catalog, Error> {
    let text = String::from_utf8(bytes).map_err(|_| Error::Input(vec![format!("{place}: not UTF-8")]))?;
    file::parse(&text, read)
        .map_err(|problems| Error::Input(problems.iter().map(|problem| format!("{place}: {problem}")).collect()))
}

/// Makes the database what the file says, or with `dry_run` only says what that would change.
pub(crate) async fn apply(client: &mut Client, wanted: &Catalog, dry_run: bool) -> Result<(), Error> {
    let transaction = client.build_transaction().read_only(dry_run).start().await?;
    let (class, number) = Lock::Catalog.numbers();
    transaction.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&class, &number]).await?;
    let stored = stored::load(&transaction, wanted.keys()).await?;
    let plan = plan::plan(wanted, &stored).map_err(Error::Input)?;
    if !dry_run {
        for change in &plan.changes {
            write::change(&transaction, change).await?;
        }
    }
    transaction.commit().await?;

    plan.changes.iter().try_for_each(|change| say(&change.to_string()))?;
    plan.left.iter().try_for_each(|entry| say(&format!("left as is: {entry} (not in the file)")))?;
    let (created, changed) = (plan.created(), plan.changes.len() - plan.created());
    match (plan.changes.len(), dry_run) {
        (0, _) => say(&format!("nothing to change ({} as the file says)", plan.unchanged)),
        (_, false) => say(&format!("{created} created, {changed} changed, {} unchanged", plan.unchanged)),
        (_, true) => say(&format!("dry run: {created} to create, {changed} to change, {} unchanged", plan.unchanged)),
    }
}
