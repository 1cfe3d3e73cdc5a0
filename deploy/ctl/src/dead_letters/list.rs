//! `runlatch dead-letters list`.

use std::time::Duration;

use clap::ValueEnum;
use tokio_postgres::{Client, types::ToSql};

use super::{
    arguments::{Filter, Status},
    select::FILTER,
    summary::Summary,
};
use crate::{
    Error,
    output::{json_line, say},
    remark,
    table::{cut, table},
};

/// Keys may be longer; here they are to be recognised, not copied.
const KEY: usize = 32;

/// How many lines are shown to people who did not say.
const SCREEN: u32 = 100;

pub(super) async fn list(
    client: &Client,
    filter: &Filter,
    status: Status,
    limit: Option<u32>,
    json: bool,
) -> Result<(), Error> {
    let filter = filter.parameters(client).await?;
    let status = status.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    // A script that sees a part of them believes it is all.
    let limit = limit.or((!json).then_some(SCREEN));
    // One more than is shown tells whether there are more.
    let most = limit.map(|limit| i64::from(limit) + 1);
    let sql = format!(
        "{} WHERE {FILTER} AND ($5 = 'all' OR d.status = $5) ORDER BY d.created_at DESC, d.id LIMIT $6",
        Summary::select()
    );
    let more: [&(dyn ToSql + Sync); 2] = [&status, &most];
    let parameters: Vec<_> = filter.all().into_iter().chain(more).collect();
    let rows = client.query(&sql, &parameters).await?;
    let letters: Vec<Summary> =
        rows.iter().take(limit.map_or(usize::MAX, |limit| limit as usize)).map(Summary::from).collect();
    if json {
        letters.iter().try_for_each(json_line)?;
    } else if !letters.is_empty() {
        let cells: Vec<_> = letters.iter().map(cells).collect();
        table(["ID", "AGE", "REASON", "PLAYBOOK", "KEY", "STATE"], &cells).iter().try_for_each(|line| say(line))?;
    }
    if rows.len() > letters.len() {
        remark(&format!("there are more than these {}: narrow it down, or raise --limit", letters.len()));
    }
    filter.remark_on_messages(client, &status).await?;
    match (letters.len(), json) {
        (0, _) => remark("no dead letters"),
        (_, false) => remark(
            "next: `runlatch dead-letters show ID` shows one with its payload, `replay ID` makes a run of it, `discard ID` \
             gives it up",
        ),
        (_, true) => {}
    }
    Ok(())
}

fn cells(letter: &Summary) -> [String; 6] {
    // Whole minutes, once there are some: `3h 5m`, not `3h 5m 12s`.
    let age = u64::try_from(letter.age_seconds).unwrap_or(0);
    let age = if age < 60 { age } else { age - age % 60 };
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    [
        letter.id.to_string(),
        humantime::format_duration(Duration::from_secs(age)).to_string(),
        letter.reason.clone(),
        or_none(&letter.playbook),
        letter.idempotency_key.as_ref().map_or_else(|| "-".to_owned(), |key| cut(key, KEY)),
        match letter.status.as_str() {
            "open" if letter.run_exists => "open, but its run is there".to_owned(),
            status => status.to_owned(),
        },
    ]
}
