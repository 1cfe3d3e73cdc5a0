//! `runlatch dead-letters`: deliveries that were accepted and could not become a run.
//!
//! ```text
//!                       replay: its run is there, made now or before
//!          ┌──────────▶ replayed
//!   open ──┤                                                          (for good: trigger closing_is_final)
//!          └──────────▶ discarded
//!                       discard: its payload is erased
//! ```
//!
//! The row stays in every state, because it is what a redelivery of the same settles by: worker's insert gives way to
//! it, so that nothing but a replay makes a run of what was buried.
//!
//! A dead letter is of one delivery, or of a whole message that nobody could read. The deliveries in such a message
//! have no dead letter of their own: a retry of one comes in another message and becomes a run, if it can be read there.
//! A replay finds that run and closes the letter with it; until then [`show`] tells, and the letter proves nothing lost.

mod arguments;
mod attempt;
mod discard;
mod letter;
mod list;
mod lock;
mod message;
mod replay;
mod report;
mod select;
mod show;
mod summary;
mod target;

pub(crate) use arguments::DeadLettersCommand;

use crate::{Error, database};

/// Does what the arguments ask for; whether they make sense is looked at before any database is.
pub(crate) async fn run(command: DeadLettersCommand, url: Option<&str>) -> Result<(), Error> {
    match command {
        DeadLettersCommand::List { filter, status, limit, json } => {
            list::list(&database::connect(url).await?, &filter, status, limit, json).await
        }
        DeadLettersCommand::Show { id, json } => show::show(&mut database::connect(url).await?, id, json).await,
        DeadLettersCommand::Replay { which, key, dry_run, json } => {
            let chosen = select::Chosen::new(which)?;
            if key.is_some() && !chosen.is_one() {
                return Err(Error::Usage("--key is for one dead letter: name it by its id".to_owned()));
            }
            let mut client = database::connect(url).await?;
            let report = report::Report::new(report::Manner { dry_run, json }, chosen.limit());
            let ids = chosen.ids(&client).await?;
            replay::replay(&mut client, &ids, key.as_ref(), dry_run, report).await
        }
        DeadLettersCommand::Discard { which, yes, dry_run, json } => {
            let chosen = select::Chosen::new(which)?;
            if !yes && !dry_run {
                return Err(Error::Usage(
                    "discarding erases payloads for good: say --yes, or --dry-run to see what it would do".to_owned(),
                ));
            }
            let client = database::connect(url).await?;
            let report = report::Report::new(report::Manner { dry_run, json }, chosen.limit());
            let ids = chosen.ids(&client).await?;
            discard::discard(&client, &ids, dry_run, report).await
        }
    }
}
