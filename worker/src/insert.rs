//! Step 1 of the transaction: insert every delivery that can be a run, and find those whose data Postgres refuses.

use std::{collections::HashMap, time::SystemTime};

use bytes::{BufMut, BytesMut};
use deadpool_postgres::Object;
use tokio_postgres::{
    Statement,
    types::{IsNull, ToSql, Type, accepts, to_sql_checked},
};
use uuid::Uuid;

use ops::postgres::Trouble;

use crate::{
    copy::{COPY_FROM, copy},
    decode::Item,
    outcome::Outcome,
    targets::Targets,
};

/// Joined with the catalog, so that a target which has gone fails its own row only. In the order of the parameters,
/// which is that of the run ids, so that two lanes never wait for each other. A key that is twice in the batch is
/// inserted once, the other is `DO NOTHING`. What was buried stays buried: only a replay by the operator makes a run
/// of it.
pub(crate) const INSERT: &str = "
    INSERT INTO runs (id, organization_id, playbook_id, project_id, template_id, idempotency_key, fingerprint, payload, accepted_at,
        request_id)
    SELECT d.id, d.organization_id, d.playbook_id, d.project_id, d.template_id, d.idempotency_key, d.fingerprint, d.payload, d.accepted_at,
        d.request_id
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::bytea[], $8::json[], $9::timestamptz[],
            $10::text[])
        WITH ORDINALITY AS d (id, organization_id, playbook_id, project_id, template_id, idempotency_key, fingerprint, payload, accepted_at,
            request_id, position)
    JOIN playbooks ON playbooks.id = d.playbook_id AND playbooks.organization_id = d.organization_id
    JOIN projects ON projects.id = d.project_id AND projects.organization_id = d.organization_id
    JOIN templates ON templates.id = d.template_id AND templates.organization_id = d.organization_id
    WHERE NOT EXISTS (SELECT FROM dead_letters WHERE dead_letters.identity = uuid_send(d.id) || d.fingerprint)
    ORDER BY d.position
    ON CONFLICT DO NOTHING
    RETURNING id, fingerprint";

/// JSON text for a `json` parameter: sent as it is, checked by Postgres alone.
#[derive(Debug)]
struct Json<'a>(&'a str);

impl ToSql for Json<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSON);
    to_sql_checked!();
}

/// The deliveries of a batch, a column each.
pub(crate) struct Columns<'a> {
    ids: Vec<Uuid>,
    organizations: Vec<Uuid>,
    playbooks: Vec<Uuid>,
    projects: Vec<Uuid>,
    templates: Vec<Uuid>,
    keys: Vec<&'a str>,
    fingerprints: Vec<&'a [u8]>,
    payloads: Vec<Json<'a>>,
    accepted: Vec<SystemTime>,
    requests: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(items: &'a [Item<'_>]) -> Self {
        let all = || items.iter().map(|item| &item.delivery);
        Self {
            ids: all().map(|delivery| delivery.run_id.0).collect(),
            organizations: all().map(|delivery| delivery.organization_id.0).collect(),
            playbooks: all().map(|delivery| delivery.playbook_id.0).collect(),
            projects: all().map(|delivery| delivery.project_id.0).collect(),
            templates: all().map(|delivery| delivery.template_id.0).collect(),
            keys: all().map(|delivery| delivery.idempotency_key.as_str()).collect(),
            fingerprints: all().map(|delivery| delivery.fingerprint.0.as_slice()).collect(),
            payloads: all().map(|delivery| Json(delivery.payload.as_str())).collect(),
            accepted: all().map(|delivery| delivery.accepted_at.into()).collect(),
            requests: all().map(|delivery| delivery.request_id.as_deref()).collect(),
        }
    }

    /// Inserts the deliveries of a range; returns what became runs, fingerprint by run id.
    async fn insert(&self, connection: &Object, statement: &Statement, range: Range) -> Result<Created, Trouble> {
        let (from, to) = range;
        let rows = connection
            .query(
                statement,
                &[
                    &&self.ids[from..to],
                    &&self.organizations[from..to],
                    &&self.playbooks[from..to],
                    &&self.projects[from..to],
                    &&self.templates[from..to],
                    &&self.keys[from..to],
                    &&self.fingerprints[from..to],
                    &&self.payloads[from..to],
                    &&self.accepted[from..to],
                    &&self.requests[from..to],
                ],
            )
            .await?;
        let mut created = Created::with_capacity(rows.len());
        for row in &rows {
            created.insert(row.try_get(0)?, row.try_get::<_, &[u8]>(1)?.try_into().map_err(|_| Trouble::Unsettled)?);
        }
        Ok(created)
    }
}

type Range = (usize, usize);
type Created = HashMap<Uuid, [u8; 32]>;

/// `BEGIN` and a savepoint are to be sent first. Returns an outcome for each delivery that has one by now: created, or
/// refused.
pub(crate) async fn insert(
    connection: &Object,
    begin: impl Future<Output = Result<(), tokio_postgres::Error>>,
    items: &[Item<'_>],
    targets: &Targets,
) -> Result<Vec<Option<Outcome>>, Trouble> {
    if items.is_empty() {
        begin.await?;
        return Ok(Vec::new());
    }
    if items.len() < COPY_FROM {
        return insert_or_bisect(connection, begin, items).await;
    }
    match copy(connection, begin, items, targets).await? {
        Some(outcomes) => Ok(outcomes),
        None => insert_or_bisect(connection, std::future::ready(Ok(())), items).await,
    }
}

/// Where Postgres refuses a row, it refuses the statement: back to the savepoint, and each half by itself, the lower run
/// ids first, until the guilty row is alone. All within the one transaction, so that the batch is still settled as one.
async fn insert_or_bisect(
    connection: &Object,
    begin: impl Future<Output = Result<(), tokio_postgres::Error>>,
    items: &[Item<'_>],
) -> Result<Vec<Option<Outcome>>, Trouble> {
    let columns = Columns::of(items);
    let mut outcomes = vec![None; items.len()];
    let statement = connection.prepare_cached(INSERT).await?;
    // One round trip for both. Should BEGIN fail alone, the rows are committed by themselves, and the whole is tried
    // again and finds duplicates: nothing is acked before that.
    let (begin, first) = tokio::join!(begin, columns.insert(connection, &statement, (0, items.len())));
    begin?;

    let mut first = Some(first);
    let mut ranges = vec![(0, items.len())];
    while let Some((from, to)) = ranges.pop() {
        let inserted = match first.take() {
            Some(inserted) => inserted,
            None => columns.insert(connection, &statement, (from, to)).await,
        };
        match inserted {
            Ok(created) => {
                // What has been inserted stays, whatever the next range meets.
                if !ranges.is_empty() {
                    connection.batch_execute("RELEASE SAVEPOINT batch; SAVEPOINT batch").await?;
                }
                mark_created(&items[from..to], created, &mut outcomes[from..to]);
            }
            Err(trouble) => {
                let Some(state) = trouble.refusal() else { return Err(trouble) };
                connection.batch_execute("ROLLBACK TO SAVEPOINT batch").await?;
                if to - from > 1 {
                    let middle = from + (to - from) / 2;
                    ranges.extend([(middle, to), (from, middle)]);
                } else {
                    // 23503: before migration V6 a target that was there when the statement joined it could be gone when the
                    // row was checked. What that makes of it is looked up: the same delivery may have become a run by another
                    // target.
                    outcomes[from] = (state != "23503").then(|| Outcome::Refused(state.to_owned()));
                }
            }
        }
    }
    Ok(outcomes)
}

/// Of several deliveries with the same run id and fingerprint the first is the one that was created.
fn mark_created(items: &[Item<'_>], mut created: Created, outcomes: &mut [Option<Outcome>]) {
    for (item, outcome) in items.iter().zip(outcomes) {
        let id = item.delivery.run_id.0;
        if created.get(&id) == Some(&item.delivery.fingerprint.0) {
            created.remove(&id);
            *outcome = Some(Outcome::Created);
        }
    }
}
