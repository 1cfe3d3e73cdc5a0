//! Postgres' side: what workers and operators recorded. All of it is read in one snapshot, so that neither a batch that
//! is committed meanwhile nor a compaction can come between two of the numbers.

use serde::Serialize;
use tokio_postgres::Transaction;

use super::ranges::Ranges;
use crate::Error;

/// What was recorded of one stream. As JSON, names and types are stable; members may be added.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) epoch: i64,
    /// The highest sequence that was settled.
    pub(super) highest_settled: i64,
    /// Rows that it is kept in.
    pub(super) rows: i64,
    /// Written by workers that did not record what was announced.
    pub(super) unannounced_rows: i64,
    pub(super) announced: i64,
    pub(super) created: i64,
    pub(super) duplicates: i64,
    pub(super) dead_letters: i64,
    /// True if somebody said of the stream as a whole that it was dealt with.
    pub(super) acknowledged_whole: bool,
}

pub(super) async fn records(transaction: &Transaction<'_>) -> Result<Vec<Record>, Error> {
    let sql = "
        SELECT stream_epoch, max(upper(sequences)) - 1, count(*), count(*) FILTER (WHERE announced IS NULL),
               coalesce(sum(announced), 0)::int8, sum(created)::int8, sum(duplicates)::int8, sum(dead_letters)::int8,
               EXISTS (SELECT FROM audit_acknowledgements AS a
                       WHERE a.stream_epoch = settled_sequences.stream_epoch AND upper_inf(a.sequences))
        FROM settled_sequences GROUP BY stream_epoch ORDER BY stream_epoch";
    let rows = transaction.query(sql, &[]).await?;
    let record = |row: &tokio_postgres::Row| Record {
        epoch: row.get(0),
        // An empty multirange has no upper bound; it settles nothing.
        highest_settled: row.get::<_, Option<i64>>(1).unwrap_or(0),
        rows: row.get(2),
        unannounced_rows: row.get(3),
        announced: row.get(4),
        created: row.get(5),
        duplicates: row.get(6),
        dead_letters: row.get(7),
        acknowledged_whole: row.get(8),
    };
    Ok(rows.iter().map(record).collect())
}

/// Sequences from 1 to `last` that are not settled: those that nobody has acknowledged, and how many somebody has.
pub(super) async fn unsettled(transaction: &Transaction<'_>, epoch: i64, last: i64) -> Result<(Ranges, i64), Error> {
    // Whatever was settled twice, because the answer to a COMMIT was lost, is in the union once.
    let sql = "
        WITH record AS (
            SELECT int8multirange(int8range(1, $2::int8 + 1)) - coalesce(
                       (SELECT range_agg(sequences) FROM settled_sequences WHERE stream_epoch = $1), '{}') AS unsettled,
                   coalesce((SELECT range_agg(sequences) FROM audit_acknowledgements WHERE stream_epoch = $1),
                       '{}') AS acknowledged
        )
        SELECT lower(range), upper(range) - 1, known
        FROM record, LATERAL (
            SELECT range, false AS known FROM unnest(unsettled - acknowledged) AS range
            UNION ALL SELECT range, true FROM unnest(unsettled * acknowledged) AS range
        ) AS ranges ORDER BY 1";
    let rows = transaction.query(sql, &[&epoch, &last]).await?;
    let of = |known: bool| -> Ranges {
        rows.iter().filter(|row| row.get::<_, bool>(2) == known).map(|row| (row.get(0), row.get(1))).collect()
    };
    Ok((of(false), of(true).count()))
}

/// A row whose outcomes are not what its messages announced.
#[derive(Serialize)]
pub(super) struct Odd {
    #[serde(skip)]
    pub(super) epoch: i64,
    pub(super) sequences: Ranges,
    pub(super) announced: i32,
    pub(super) settled: i64,
}

/// Those that nobody has acknowledged.
pub(super) async fn odd(transaction: &Transaction<'_>) -> Result<Vec<Odd>, Error> {
    let sql = "
        SELECT stream_epoch, ARRAY(SELECT lower(range) FROM unnest(sequences) AS range),
               ARRAY(SELECT upper(range) - 1 FROM unnest(sequences) AS range),
               announced, created::int8 + duplicates + dead_letters
        FROM settled_sequences
        WHERE announced <> created::int8 + duplicates + dead_letters
          AND NOT coalesce(sequences <@ (SELECT range_agg(a.sequences) FROM audit_acknowledgements AS a
                                         WHERE a.stream_epoch = settled_sequences.stream_epoch), false)
        ORDER BY stream_epoch, id";
    let rows = transaction.query(sql, &[]).await?;
    let odd = |row: &tokio_postgres::Row| {
        let (firsts, lasts): (Vec<i64>, Vec<i64>) = (row.get(1), row.get(2));
        let sequences = firsts.into_iter().zip(lasts).collect();
        Odd { epoch: row.get(0), sequences, announced: row.get(3), settled: row.get(4) }
    };
    Ok(rows.iter().map(odd).collect())
}

/// As JSON, names and types are stable; members may be added.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetters {
    /// By batches, as they recorded it; null where some did not.
    pub(super) written: Option<i64>,
    /// Those that are there, but for what replays wrote.
    pub(super) there: i64,
    pub(super) open: i64,
    /// Of raw messages: their deliveries may have become runs by a retry, which a replay would find.
    pub(super) open_messages: i64,
}

pub(super) async fn dead_letters(transaction: &Transaction<'_>) -> Result<DeadLetters, Error> {
    let sql = "
        SELECT (SELECT CASE WHEN count(*) = count(buried) THEN coalesce(sum(buried), 0)::int8 END FROM settled_sequences),
               count(*) FILTER (WHERE origin_id IS NULL), count(*) FILTER (WHERE status = 'open'),
               count(*) FILTER (WHERE status = 'open' AND run_id IS NULL)
        FROM dead_letters";
    let row = transaction.query_one(sql, &[]).await?;
    Ok(DeadLetters { written: row.get(0), there: row.get(1), open: row.get(2), open_messages: row.get(3) })
}

/// As JSON, names and types are stable; members may be added.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Runs {
    /// By batches, as they recorded it.
    pub(super) created: i64,
    /// By replays.
    pub(super) replayed: i64,
    pub(super) there: i64,
}

pub(super) async fn runs(transaction: &Transaction<'_>) -> Result<Runs, Error> {
    let sql = "SELECT (SELECT coalesce(sum(created), 0)::int8 FROM settled_sequences),
                      (SELECT coalesce(sum(replayed_runs), 0)::int8 FROM dead_letters), (SELECT count(*) FROM runs)";
    let row = transaction.query_one(sql, &[]).await?;
    Ok(Runs { created: row.get(0), replayed: row.get(1), there: row.get(2) })
}
