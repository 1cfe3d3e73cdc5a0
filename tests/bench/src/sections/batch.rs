//! What deliveries cost that come many in one request, beside those that come alone.

use anyhow::Result;

use crate::bench::{BODY, Bench};
use crate::load::Requests;

/// Deliveries in a batch.
const LINES: usize = 500;
/// Connections, each with a batch in flight.
const CONNECTIONS: usize = 8;
/// And each with a delivery.
const ALONE: usize = 64;

/// One round: the gateway alone, as where it stands side by side.
pub(crate) async fn round(bench: &mut Bench) -> Result<()> {
    let [alone, lines] = ["batch.alone", "batch.lines"];
    if !bench.wants_any([alone, lines]) {
        return Ok(());
    }
    let first = bench.requests.next();
    bench.stage.clear().await?;
    bench.stage.stop_workers().await?;
    bench.measure(alone, &bench.closed(ALONE))?;
    let next = bench.requests.next();
    let mut batches = Requests::batches(bench.stage.secrets.clone(), next, BODY, LINES)?;
    bench.measure_with(lines, &bench.closed(CONNECTIONS).expecting(200), &mut batches)?;
    let (plain, after) = (bench.requests.clone(), batches.next());
    bench.requests = plain.again(after, u64::MAX);
    bench.stage.start_worker().await?;
    bench.stage.settled(after - first).await
}
