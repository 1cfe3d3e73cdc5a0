//! `runlatch dead-letters replay`.
//!
//! One transaction for each: it locks the dead letter, makes its run, and closes it. So a crash leaves it open without a run,
//! or closed with one, and never in between; and a second replay, of the same operator or another, finds the first.
//! A worker that inserts the same run meanwhile is decided by the primary key of `runs`, as ever (I1).

use proto::{IdempotencyKey, RunId, Scope, dead_letter, envelope::Delivery};
use tokio_postgres::{Client, IsolationLevel, Transaction};
use uuid::Uuid;

use super::{
    attempt::{Attempt, attempt, there},
    letter::Letter,
    lock::Lock,
    message,
    report::{CameTo, Ending, Report},
};
use crate::Error;

const CLOSE: &str =
    "UPDATE dead_letters SET status = 'replayed', replayed_run_id = $2, replayed_key = $3, replayed_runs = $4
                     WHERE id = $1";

/// What a replay comes to.
pub(super) struct Replay {
    pub(super) ending: Ending,
    pub(super) detail: String,
    /// Those that are there for what the dead letter carries.
    pub(super) runs: Vec<RunId>,
    /// How many of them it has made.
    pub(super) created: i32,
}

impl Replay {
    pub(super) fn unchanged(detail: impl Into<String>) -> Self {
        Self { ending: Ending::Unchanged, detail: detail.into(), runs: Vec::new(), created: 0 }
    }
}

pub(super) async fn replay(
    client: &mut Client,
    ids: &[Uuid],
    key: Option<&IdempotencyKey>,
    dry_run: bool,
    mut report: Report,
) -> Result<(), Error> {
    for id in ids {
        report.tell(*id, transactions(client, *id, key, dry_run).await)?;
    }
    report.end()
}

/// One in general.
async fn transactions(
    client: &mut Client,
    id: Uuid,
    key: Option<&IdempotencyKey>,
    dry_run: bool,
) -> Result<CameTo, Error> {
    if let Some(came_to) = transaction(client, id, key, dry_run, Lock::Shared).await? {
        return Ok(came_to);
    }
    let alone = transaction(client, id, key, dry_run, Lock::Alone).await?;
    alone.ok_or_else(|| {
        Error::Failed("the rows changed under the transaction; nothing is changed, try again".to_owned())
    })
}

/// None where what it came to may not be committed under this lock; then it was taken back.
async fn transaction(
    client: &mut Client,
    id: Uuid,
    key: Option<&IdempotencyKey>,
    dry_run: bool,
    lock: Lock,
) -> Result<Option<CameTo>, Error> {
    // Whatever the role's default is: what was committed while it waited for the lock must be seen.
    let mut transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
    lock.take(&transaction).await?;
    let letter = Letter::lock(&transaction, id).await?;
    let Some(replay) = one(&mut transaction, &letter, key, lock).await? else { return Ok(None) };
    if replay.ending == Ending::Replayed {
        let run = replay.runs.first().filter(|_| replay.runs.len() == 1).map(|run| run.0);
        let key = key.map(IdempotencyKey::as_str);
        transaction.execute(CLOSE, &[&letter.id, &run, &key, &replay.created]).await?;
    }
    if dry_run {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    Ok(Some((replay.ending, replay.detail, replay.runs)))
}

async fn one(
    transaction: &mut Transaction<'_>,
    letter: &Letter,
    key: Option<&IdempotencyKey>,
    lock: Lock,
) -> Result<Option<Replay>, Error> {
    let replay = match letter.status.as_str() {
        "open" => match (letter.delivery()?, key) {
            (None, None) => return message::replay(transaction, letter, lock).await,
            (None, Some(_)) => Replay::unchanged("it is of a raw message, whose deliveries have keys of their own"),
            (Some(delivery), None) => own(transaction, &delivery).await?,
            (Some(delivery), Some(key)) => other(transaction, delivery, key).await?,
        },
        "replayed" => before(transaction, letter, key).await?,
        _ => Replay::unchanged("it was discarded, and its payload erased"),
    };
    Ok(Some(replay))
}

/// Under its own key.
async fn own(transaction: &mut Transaction<'_>, delivery: &Delivery<'_>) -> Result<Replay, Error> {
    match attempt(transaction, delivery).await? {
        Attempt::Failed(dead_letter::Reason::IdempotencyConflict, why) => {
            Ok(Replay::unchanged(format!("{why}: replay it under another key, with --key")))
        }
        attempt => Ok(made(attempt, delivery.run_id)),
    }
}

/// Under another key.
async fn other(
    transaction: &mut Transaction<'_>,
    mut delivery: Delivery<'_>,
    key: &IdempotencyKey,
) -> Result<Replay, Error> {
    // Its sender was told a run id. As long as that can still come true it shall (I2).
    if there(transaction, &delivery).await? != Some(false) {
        return Ok(Replay::unchanged("its own key names no other run: replay it without --key"));
    }
    let scope = "SELECT idempotency_scope = 'organization' FROM organizations WHERE id = $1";
    let Some(row) = transaction.query_opt(scope, &[&delivery.organization_id.0]).await? else {
        return Ok(Replay::unchanged("its organization is gone"));
    };
    let scope = match row.get(0) {
        true => Scope::Organization(delivery.organization_id),
        false => Scope::Playbook(delivery.playbook_id),
    };
    delivery.run_id = RunId::compute(scope, key);
    delivery.idempotency_key = key.clone();
    // The same content was sent under that key too, and buried: it must not become a run beside its dead letter (I3).
    let buried = "SELECT id FROM dead_letters WHERE identity = $1 AND status <> 'replayed'";
    let identity = dead_letter::identity(delivery.run_id, &delivery.fingerprint);
    if let Some(row) = transaction.query_opt(buried, &[&identity]).await? {
        let id: Uuid = row.get(0);
        return Ok(Replay::unchanged(format!("under that key the same was sent and buried, as {id}: see to that one")));
    }
    match attempt(transaction, &delivery).await? {
        Attempt::Failed(dead_letter::Reason::IdempotencyConflict, _) => Ok(Replay::unchanged(format!(
            "that key names run {}, which has another payload or target: choose another",
            delivery.run_id
        ))),
        // Of another delivery, although it has the same content: this one would end as nothing of its own (I3). That this
        // very replay was made before is not decided here: then the letter is closed.
        Attempt::Duplicate => Ok(Replay::unchanged(format!(
            "that key names run {} already, with the same content: choose another, or discard it",
            delivery.run_id
        ))),
        attempt => Ok(made(attempt, delivery.run_id)),
    }
}

fn made(attempt: Attempt, run: RunId) -> Replay {
    let (detail, created) = match attempt {
        Attempt::Created => (format!("run {run}"), 1),
        Attempt::Duplicate => (format!("run {run}, which was there already"), 0),
        Attempt::Failed(_, why) => return Replay::unchanged(why),
    };
    Replay { ending: Ending::Replayed, detail, runs: vec![run], created }
}

/// It was replayed: the same answer again, unless it is asked for under another key than then.
async fn before(transaction: &Transaction<'_>, letter: &Letter, key: Option<&IdempotencyKey>) -> Result<Replay, Error> {
    let under = match &letter.replayed_key {
        Some(key) => format!(" under the key {key}"),
        None => String::new(),
    };
    if key.is_some_and(|key| letter.replayed_key.as_deref() != Some(key.as_str())) {
        let own = if under.is_empty() { " under its own key" } else { &under };
        return Ok(Replay::unchanged(format!("it was replayed before{own}, and can have one run only")));
    }
    let runs = match letter.replayed_run {
        Some(run) => vec![run],
        None => message::runs(transaction, letter).await?,
    };
    let detail = match runs.as_slice() {
        [run] => format!("run {run}{under}"),
        runs => format!("{} runs", runs.len()),
    };
    Ok(Replay { ending: Ending::ReplayedBefore, detail, runs, created: 0 })
}
