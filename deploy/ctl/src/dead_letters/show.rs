//! `runlatch dead-letters show`: the one command that prints a payload, because it was asked to (I7).

use proto::{RunId, dead_letter::Reason};
use serde::Serialize;
use tokio_postgres::{Client, IsolationLevel, Transaction};
use uuid::Uuid;

use super::{attempt::there, letter::Letter, message, summary::Summary};
use crate::{
    Error,
    output::{json_line, say},
    remark,
};

/// As JSON, names and types are stable; members may be added.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    #[serde(flatten)]
    summary: Summary,
    /// Deliveries that can be read in a raw message now; null for a delivery, and where none can.
    deliveries: Option<Vec<Part>>,
    /// Byte for byte, where it is UTF-8.
    payload: Option<String>,
    /// Where it is not.
    payload_base64: Option<String>,
}

/// A delivery in a raw message, and whether it has met its end by another way.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    run_id: RunId,
    run_exists: bool,
    dead_letter_exists: bool,
}

pub(super) async fn show(client: &mut Client, id: Uuid, json: bool) -> Result<(), Error> {
    // One snapshot for all of it.
    let level = IsolationLevel::RepeatableRead;
    let transaction = client.build_transaction().isolation_level(level).read_only(true).start().await?;
    let letter = Letter::read(&transaction, id).await?;
    let row = transaction.query_one(&format!("{} WHERE d.id = $1", Summary::select()), &[&id]).await?;
    let summary = Summary::from(&row);
    let deliveries = if summary.run_id.is_none() { parts(&transaction, &letter).await? } else { None };
    let payload = std::str::from_utf8(&letter.payload).ok().map(str::to_owned);
    let payload_base64 = match &payload {
        Some(_) => None,
        None => {
            // Postgres breaks the lines, as MIME wants it.
            let encode = "SELECT translate(encode(payload, 'base64'), E'\\n', '') FROM dead_letters WHERE id = $1";
            Some(transaction.query_one(encode, &[&id]).await?.get(0))
        }
    };
    let whole = Whole { summary, deliveries, payload, payload_base64 };
    if json {
        return json_line(&whole);
    }
    lines(&whole).iter().try_for_each(|line| say(line))?;
    advise(&whole.summary);
    Ok(())
}

async fn parts(transaction: &Transaction<'_>, letter: &Letter) -> Result<Option<Vec<Part>>, Error> {
    let Ok(deliveries) = message::read(letter) else { return Ok(None) };
    let mut parts = Vec::with_capacity(deliveries.len());
    for delivery in &deliveries {
        parts.push(Part {
            run_id: delivery.run_id,
            run_exists: there(transaction, delivery).await? == Some(true),
            dead_letter_exists: message::is_buried(transaction, delivery).await?,
        });
    }
    Ok(Some(parts))
}

fn lines(whole: &Whole) -> Vec<String> {
    let letter = &whole.summary;
    let mut lines = Vec::new();
    let mut line = |name: &str, value: Option<String>| lines.extend(value.map(|value| format!("{name:<12} {value}")));
    line("id", Some(letter.id.to_string()));
    line("status", Some(letter.status.clone()));
    line("reason", Some(format!("{} ({})", letter.reason, letter.detail)));
    line("playbook", letter.playbook.clone());
    line("project", letter.project.clone());
    line("template", letter.template.clone());
    line("key", letter.idempotency_key.clone());
    let run = |run: Uuid| format!("{run} ({})", if letter.run_exists { "there already" } else { "not made" });
    line("run", letter.run_id.map(run));
    line("request", letter.request_id.clone());
    line("accepted", letter.accepted_at.clone());
    line("buried", Some(letter.buried_at.clone()));
    line("message", Some(format!("{} of stream epoch {}", letter.stream_sequence, letter.stream_epoch)));
    line("read out of", letter.origin_id.map(|id| format!("dead letter {id}")));
    line("closed", letter.closed_at.as_ref().zip(letter.closed_by.as_ref()).map(|(at, by)| format!("{at} by {by}")));
    line("replayed as", letter.replayed_run_id.map(|run| run.to_string()));
    line("under key", letter.replayed_key.clone());
    for part in whole.deliveries.iter().flatten() {
        let state = match (part.run_exists, part.dead_letter_exists) {
            (true, _) => "there already",
            (false, true) => "has a dead letter of its own",
            (false, false) => "not made",
        };
        line("delivery", Some(format!("{} ({state})", part.run_id)));
    }
    line("payload", Some(format!("{} bytes", letter.payload_bytes)));
    match (&whole.payload, &whole.payload_base64) {
        (Some(text), _) => lines.push(harmless(text)),
        (None, Some(base64)) => lines.push(format!("(not UTF-8; base64) {base64}")),
        (None, None) => {}
    }
    lines
}

/// A stranger wrote it: what a terminal would obey is shown, not sent. `--json` has the bytes as they are.
fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

fn advise(letter: &Summary) {
    let id = letter.id;
    match letter.status.as_str() {
        "open" if letter.reason == Reason::IdempotencyConflict.as_str() && !letter.run_exists => remark(&format!(
            "next: `runlatch dead-letters replay {id} --key NEWKEY` makes a run of it under another key, `discard {id} --yes` \
             gives it up"
        )),
        "open" => remark(&format!(
            "next: `runlatch dead-letters replay {id}` makes a run of it (--dry-run says what would come of it), \
             `discard {id} --yes` gives it up"
        )),
        _ => {}
    }
}
