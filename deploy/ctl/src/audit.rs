//! `runlatch audit`: is everything that was accepted accounted for?
//!
//! What a gateway answered 2xx is a message of the stream, with a number. A worker acks it after it has committed its outcome,
//! and with the outcome the number. So for each stream, each number from 1 to the last is settled in Postgres or still in
//! the stream; what is neither was lost. ARCHITECTURE.md says what this proves and what it cannot.
//!
//! **The order of looking is what makes it sound while the system runs.** First the stream, then Postgres: a message that had
//! left the stream when we looked was acked before, so its COMMIT was before, so the later look at Postgres sees it. The other
//! way round a batch that is committed and acked between the two looks would be in neither. It holds of the primary: a
//! standby shows Postgres as it was, so perhaps as it was before our look at the stream.

mod acknowledge;
mod arguments;
mod examine;
mod ranges;
mod record;
mod report;
mod stream;

pub(crate) use arguments::{Audit, HELP};

use arguments::AuditCommand;

use crate::{Error, database, nats};

pub(crate) async fn run(audit: Audit, url: Option<&str>) -> Result<(), Error> {
    if let Some(AuditCommand::Acknowledge { epoch, sequences, note }) = &audit.command {
        let nats = nats::connect(nats::parse(audit.nats_url.as_deref())?).await?;
        let mut client = database::connect(url).await?;
        return match sequences {
            Some(sequences) => acknowledge::sequences(&mut client, &nats, *epoch, sequences, note).await,
            None => acknowledge::whole(&client, &nats, *epoch, note).await,
        };
    }
    let servers = nats::parse(audit.nats_url.as_deref())?;
    // A monitor must be able to tell "it does not add up" from "nobody could look".
    let unaudited = |error| match error {
        Error::Failed(why) | Error::Unavailable(why) => Error::Unavailable(format!("nothing was audited: {why}")),
        error => error,
    };
    let findings = async {
        let mut database = database::connect(url).await?;
        let nats = nats::connect(servers).await?;
        examine::examine(&mut database, &nats, audit.epoch, audit.count_runs).await
    };
    report::tell(&findings.await.map_err(unaudited)?, audit.json)
}
