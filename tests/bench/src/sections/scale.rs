//! More gateways and workers on the same cores: what they lose by there being more of them.

use anyhow::Result;

use crate::bench::Bench;

/// Gateways, and as many workers.
const COUNTS: [usize; 3] = [1, 2, 4];
const CONNECTIONS: usize = 64;

/// One round.
pub(crate) async fn round(bench: &mut Bench, round: usize) -> Result<()> {
    let mut counts = COUNTS;
    counts.rotate_left(round % COUNTS.len());
    for count in counts {
        let name = format!("scale.{count}");
        if bench.wants(&name) {
            bench.progress.step(&name);
            bench.stage.scale(count).await?;
            bench.stage.clear().await?;
            bench.pipeline(&name, bench.closed(CONNECTIONS)).await?;
        }
    }
    bench.stage.scale(1).await
}
