//! What a storm of retries costs, and of requests that have no right to be answered otherwise.

use anyhow::Result;

use super::burst;
use crate::bench::{BODY, Bench};
use crate::load::{Requests, unknown, wrong};
use crate::measure::Load;

const CONNECTIONS: usize = 64;

/// One round. What the first deliveries cost, to their rows, is what the retries are held against.
pub(crate) async fn round(bench: &mut Bench) -> Result<()> {
    let [new, replay] = ["retries.new", "retries.replay"];
    let refused = ["retries.conflict", "retries.unauthorized", "retries.not-found"];
    if !bench.wants_any(refused.into_iter().chain([new, replay])) {
        return Ok(());
    }
    bench.stage.clear().await?;
    bench.progress.step(new);
    let (first, count) = (bench.requests.next(), bench.settings.sizes.retried);
    let load = Load::count(bench.stage.gateways(), CONNECTIONS, count);
    let sample = burst::to_the_last_row(&bench.stage, &load, &mut bench.requests).await?;
    bench.note(new, sample);
    bench.stage.marked(count).await?;

    let load = bench.closed(CONNECTIONS);
    let mut again = bench.requests.clone().again(first, count);
    bench.measure_with(replay, &load.clone().expecting(200), &mut again)?;
    let secrets = bench.stage.secrets.clone();
    for (name, status, secrets) in
        [(refused[0], 409, secrets.clone()), (refused[1], 401, wrong(&secrets)), (refused[2], 404, unknown(&secrets))]
    {
        let mut requests = Requests::new(secrets, 0, BODY, "other")?.again(first, count);
        bench.measure_with(name, &load.clone().expecting(status), &mut requests)?;
    }
    Ok(())
}
