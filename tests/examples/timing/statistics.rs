//! Whether one kind of request takes longer than another.
//!
//! Times have a long tail, of schedulers and interrupts, that says nothing and would drown a mean. What work costs shows
//! in the lower quantiles. So the rounds are cut into blocks, in each block the lower quartiles of both classes are
//! compared (they were measured in the same moments, so what the machine did meanwhile falls out), and the blocks'
//! differences are resampled (a percentile bootstrap of their median) to see how far they can be relied on.

const BLOCKS: usize = 200;
const RESAMPLES: usize = 10_000;

/// How much longer one class takes, in nanoseconds, with bounds that miss the truth once in a thousand times.
pub(crate) struct Comparison {
    pub(crate) difference: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

pub(crate) fn compare(times: &[u64], reference: &[u64]) -> Comparison {
    let block = times.len() / BLOCKS;
    let quartiles =
        |times: &[u64]| -> Vec<f64> { times.chunks_exact(block).map(|block| quantile(block, 0.25) as f64).collect() };
    let differences: Vec<f64> =
        quartiles(times).iter().zip(quartiles(reference)).map(|(one, other)| one - other).collect();
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| median((0..differences.len()).map(|_| differences[fastrand::usize(..differences.len())]).collect()))
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| medians[(part * (RESAMPLES - 1) as f64).round() as usize];
    Comparison { difference: median(differences), low: at(0.0005), high: at(0.9995) }
}

pub(crate) fn quantile(times: &[u64], part: f64) -> u64 {
    let mut times = times.to_vec();
    let at = (part * (times.len() - 1) as f64) as usize;
    *times.select_nth_unstable(at).1
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
