//! What a storm of retries costs, and of requests that have no right to be answered otherwise.

use anyhow::Result;

use crate::bench::{BODY, Bench};
use crate::load::{Requests, unknown, wrong};
use crate::measure::{Load, measure};

/// Deliveries that are sent again and again.
const DELIVERIES: u64 = 50_000;
const CONNECTIONS: usize = 64;

/// One round.
pub(crate) async fn round(bench: &mut Bench) -> Result<()> {
    let refused = ["retries.conflict", "retries.unauthorized", "retries.not-found"];
    if !bench.wants_any(refused.into_iter().chain(["retries.replay"])) {
        return Ok(());
    }
    bench.stage.clear().await?;
    bench.progress.step("deliveries to be sent again");
    let first = bench.requests.next();
    let load = Load::count(bench.stage.gateways(), CONNECTIONS, DELIVERIES);
    measure(&bench.stage, &load, &mut bench.requests)?;
    bench.stage.marked(DELIVERIES).await?;

    let load = bench.closed(CONNECTIONS);
    let mut again = bench.requests.clone().again(first, DELIVERIES);
    bench.measure_with("retries.replay", &load.clone().expecting(200), &mut again)?;
    let secrets = bench.stage.secrets.clone();
    for (name, status, secrets) in
        [(refused[0], 409, secrets.clone()), (refused[1], 401, wrong(&secrets)), (refused[2], 404, unknown(&secrets))]
    {
        let mut requests = Requests::new(secrets, 0, BODY, "other")?.again(first, DELIVERIES);
        bench.measure_with(name, &load.clone().expecting(status), &mut requests)?;
    }
    Ok(())
}
