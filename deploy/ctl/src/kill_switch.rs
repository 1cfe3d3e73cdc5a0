//! `runlatch kill-switch`: a row for each switch that is engaged, none for the others.

use proto::Slug;
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use crate::{Error, cli::SwitchState, output::say};

pub(crate) async fn set(client: &mut Client, state: SwitchState, organization: Option<&Slug>) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    let (id, whose) = match organization {
        Some(slug) => (Some(id_of(&transaction, slug).await?), format!("the kill switch of organization {slug}")),
        None => (None, "the global kill switch".to_owned()),
    };
    // Nothing is written where nothing changes, so no gateway is woken for it.
    let (changed, position) = match state {
        SwitchState::On => {
            let insert = "INSERT INTO kill_switches (organization_id) VALUES ($1) ON CONFLICT DO NOTHING";
            (transaction.execute(insert, &[&id]).await?, "on")
        }
        SwitchState::Off => {
            let delete = "DELETE FROM kill_switches WHERE organization_id IS NOT DISTINCT FROM $1";
            (transaction.execute(delete, &[&id]).await?, "off")
        }
    };
    let in_force = in_force(&transaction).await?;
    transaction.commit().await?;

    say(&format!("{whose} {} {position}", if changed == 0 { "was already" } else { "is now" }))?;
    in_force.iter().try_for_each(|line| say(line))
}

async fn id_of(transaction: &Transaction<'_>, slug: &Slug) -> Result<Uuid, Error> {
    let row = transaction.query_opt("SELECT id FROM organizations WHERE slug = $1::text", &[&slug.as_str()]).await?;
    row.map(|row| row.get(0)).ok_or_else(|| Error::Failed(format!("there is no organization {slug}")))
}

/// All that is refused, since switching one off is of little use while another holds.
async fn in_force(transaction: &Transaction<'_>) -> Result<Vec<String>, Error> {
    let engaged = "
        SELECT coalesce('organization ' || slug::text, 'everybody'), engaged_by,
               to_char(engaged_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
        FROM kill_switches LEFT JOIN organizations ON organizations.id = organization_id
        ORDER BY slug NULLS FIRST";
    let rows = transaction.query(engaged, &[]).await?;
    if rows.is_empty() {
        return Ok(vec!["in force: none; deliveries are accepted".to_owned()]);
    }
    let line = |row: &tokio_postgres::Row| {
        let (whose, by, since): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
        format!("in force: deliveries to {whose} are refused (since {since}, by {by})")
    };
    Ok(rows.iter().map(line).collect())
}
