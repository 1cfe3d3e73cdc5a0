//! What a delivery costs when there is much of something, held against what it costs when there is little of it, in turn.

use anyhow::Result;

use super::burst;
use crate::bench::Bench;
use crate::fill::{Playbooks, Tables, claims, rows};
use crate::load::Requests;
use crate::measure::Load;

const CONNECTIONS: usize = 64;
/// Bytes of a small and of a large payload.
const PAYLOADS: [usize; 2] = [512, 64 * 1024];
/// Numbers of its own for each kind of delivery: those of the usual ones go up from 0.
const FIRST: u64 = 1 << 48;

/// All of it, each in as many rounds as the rest.
pub(crate) async fn run(bench: &mut Bench) -> Result<()> {
    of_claims(bench).await?;
    of_rows(bench).await?;
    of_playbooks(bench).await?;
    of_payload(bench).await
}

/// Redis has several databases, and which of them the gateways see can be changed under them.
async fn of_claims(bench: &mut Bench) -> Result<()> {
    let [few, many] = ["growth.claims.few", "growth.claims.many"];
    if !bench.wants_any([few, many]) {
        return Ok(());
    }
    bench.progress.part("growth: claims");
    bench.progress.step("filling Redis");
    bench.stage.clear().await?;
    let (count, empty) = (bench.settings.sizes.claims, bench.stage.redis_bytes().await?);
    claims(&mut bench.stage.redis, count).await?;
    let full = bench.stage.redis_bytes().await?;
    bench.book.room.redis_per_key = Some(full.saturating_sub(empty) as f64 / count as f64);
    for round in 0..bench.settings.rounds {
        for name in in_turn([few, many], round) {
            if name == many {
                bench.pipeline(many, bench.closed(CONNECTIONS)).await?;
            } else {
                swap_redis(bench).await?;
                bench.pipeline(few, bench.closed(CONNECTIONS)).await?;
                let _: () = redis::cmd("FLUSHDB").query_async(&mut bench.stage.redis).await?;
                swap_redis(bench).await?;
            }
        }
    }
    bench.stage.clear().await
}

async fn swap_redis(bench: &mut Bench) -> Result<()> {
    // The last marks are to go where their claims are.
    bench.stage.marked(0).await?;
    Ok(redis::cmd("SWAPDB").arg(0).arg(1).query_async(&mut bench.stage.redis).await?)
}

/// Two tables that take turns in being `runs`. What a checkpoint has written is written to the log as a whole page when it is next
/// changed: with random ids every page of the index, once. That passes (and comes again with the next checkpoint, by default after
/// five minutes, at any size beyond what five minutes touch); the steady state is measured, so most pages are touched first.
async fn of_rows(bench: &mut Bench) -> Result<()> {
    let [few, many] = ["growth.rows.few", "growth.rows.many"];
    if !bench.wants_any([few, many]) {
        return Ok(());
    }
    bench.progress.part("growth: rows");
    bench.progress.step("filling runs");
    bench.stage.clear().await?;
    let database = bench.stage.connect().await?;
    let tables = Tables::new(&database).await?;
    let count = bench.settings.sizes.rows;
    rows(&bench.stage, count).await?;
    let bytes: i64 = database.query_one("SELECT pg_total_relation_size('runs')", &[]).await?.get(0);
    bench.book.room.postgres_per_run = Some(bytes as f64 / count as f64);
    // No VACUUM: it would write every page of the table once more, and an INSERT looks at none of them.
    database.batch_execute("ANALYZE runs; CHECKPOINT").await?;
    bench.progress.step("touching the index");
    rows(&bench.stage, count / 20).await?;
    for round in 0..bench.settings.rounds {
        for name in in_turn([few, many], round) {
            if name == many {
                bench.pipeline(many, bench.closed(CONNECTIONS)).await?;
            } else {
                tables.swap().await?;
                bench.pipeline(few, bench.closed(CONNECTIONS)).await?;
                database.batch_execute("TRUNCATE runs").await?;
                tables.swap().await?;
            }
        }
    }
    database.batch_execute("TRUNCATE runs").await?;
    tables.drop().await
}

/// Deliveries to all there are, or to as few as usual while the others are out of the catalog. A worker looks for a playbook
/// once; the steady state is measured, so most were seen before.
async fn of_playbooks(bench: &mut Bench) -> Result<()> {
    let [few, many] = ["growth.playbooks.few", "growth.playbooks.many"];
    if !bench.wants_any([few, many]) {
        return Ok(());
    }
    bench.progress.part("growth: playbooks");
    bench.progress.step("making playbooks");
    bench.stage.clear().await?;
    let playbooks = Playbooks::new(&bench.stage, bench.settings.sizes.playbooks).await?;
    let mut all = Requests::new(playbooks.secrets(), FIRST, crate::bench::BODY, "plain")?;
    let mut usual = Requests::new(bench.stage.secrets.clone(), 5 * FIRST, crate::bench::BODY, "plain")?;
    for round in 0..bench.settings.rounds {
        for name in in_turn([few, many], round) {
            bench.stage.clear().await?;
            let requests = if name == many { &mut all } else { &mut usual };
            if name == many {
                playbooks.add(&bench.stage).await?;
            }
            bench.progress.step("deliveries to most of them");
            let load = Load::count(bench.stage.gateways(), CONNECTIONS, 2 * bench.settings.sizes.playbooks);
            burst::to_the_last_row(&bench.stage, &load, requests).await?;
            bench.stage.truncate().await?;
            bench.pipeline_with(name, bench.closed(CONNECTIONS), requests).await?;
            bench.stage.truncate().await?;
            if name == many {
                playbooks.remove(&bench.stage).await?;
            }
        }
    }
    Ok(())
}

async fn of_payload(bench: &mut Bench) -> Result<()> {
    let names = PAYLOADS.map(|bytes| format!("growth.payload.{bytes}"));
    if !bench.wants_any(&names) {
        return Ok(());
    }
    bench.progress.part("growth: payload");
    let secrets = bench.stage.secrets.clone();
    let mut requests = Vec::new();
    for (first, bytes) in (2..).zip(PAYLOADS) {
        requests.push(Requests::new(secrets.clone(), first * FIRST, bytes, "plain")?);
    }
    for round in 0..bench.settings.rounds {
        for index in in_turn([0, 1], round) {
            bench.stage.clear().await?;
            bench.pipeline_with(&names[index], bench.closed(CONNECTIONS), &mut requests[index]).await?;
        }
    }
    Ok(())
}

/// Neither is always the one that comes first.
fn in_turn<T>(mut both: [T; 2], round: usize) -> [T; 2] {
    both.rotate_left(round % 2);
    both
}
