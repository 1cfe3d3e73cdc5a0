//! What is held against what, and what is to be reached.

use serde::Serialize;

use crate::book::{Book, Figure, Sample};

/// Where a ratio is to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    pub(crate) fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtMost(goal) => value <= goal,
            Self::AtLeast(goal) => value >= goal,
        }
    }
}

/// One of them, and how it is computed where its measurements were made.
pub(crate) struct Ratio {
    pub(crate) name: &'static str,
    pub(crate) goal: Option<Goal>,
    pub(crate) figure: fn(&Book) -> Option<Figure>,
}

/// All that a delivery costs but the sending of it.
pub(crate) const ALL: [&str; 5] = ["gateway", "worker", "redis", "nats", "postgres"];

/// Their names are the report's, and stay.
pub(crate) static RATIOS: [Ratio; 16] = [
    Ratio {
        name: "gateway_cpu_over_floor",
        goal: Some(Goal::AtMost(1.8)),
        figure: |book| {
            let cpu = |gateway: &Sample, floor: &Sample| gateway.cpu_of(&["gateway"]) / floor.cpu_of(&["floor"]);
            book.ratio("gateway.closed.64", "floor.closed.64", cpu)
        },
    },
    Ratio {
        name: "accept_over_insert_64",
        goal: Some(Goal::AtLeast(2.5)),
        figure: |book| book.ratio("gateway.closed.64", "insert.closed.64", rates),
    },
    Ratio {
        name: "accept_over_insert_256",
        goal: Some(Goal::AtLeast(2.5)),
        figure: |book| book.ratio("gateway.closed.256", "insert.closed.256", rates),
    },
    Ratio {
        name: "pipeline_over_insert_64",
        goal: Some(Goal::AtLeast(1.5)),
        figure: |book| {
            let runs =
                |pipeline: &Sample, insert: &Sample| pipeline.runs_per_second.unwrap_or(f64::NAN) / insert.per_second;
            book.ratio("pipeline.closed.64", "insert.closed.64", runs)
        },
    },
    Ratio {
        name: "drain_over_copy",
        goal: Some(Goal::AtLeast(0.65)),
        figure: |book| book.ratio("drain", "copy", rates),
    },
    Ratio {
        name: "insert_pg_cpu_over_pipeline_pg_cpu",
        goal: Some(Goal::AtLeast(5.0)),
        figure: |book| {
            let cpu =
                |insert: &Sample, pipeline: &Sample| insert.cpu_of(&["postgres"]) / pipeline.cpu_of(&["postgres"]);
            book.ratio("insert.closed.64", "pipeline.closed.64", cpu)
        },
    },
    Ratio {
        name: "p50_over_insert_1",
        goal: Some(Goal::AtMost(0.8)),
        figure: |book| {
            book.ratio("gateway.closed.1", "insert.closed.1", |gateway, insert| gateway.ms("p50") / insert.ms("p50"))
        },
    },
    Ratio {
        name: "p99_over_floor_open_5000",
        goal: Some(Goal::AtMost(4.0)),
        figure: |book| book.ratio("gateway.open.5000", "floor.open.5000", p99s),
    },
    Ratio {
        name: "p99_pipeline_over_floor_open_5000",
        goal: None,
        figure: |book| book.ratio("pipeline.open.5000", "floor.open.5000", p99s),
    },
    Ratio {
        name: "replay_cpu_over_new",
        goal: Some(Goal::AtMost(0.5)),
        figure: |book| book.ratio("retries.replay", "retries.new", costs),
    },
    Ratio {
        name: "batch_over_alone",
        goal: Some(Goal::AtLeast(2.0)),
        figure: |book| book.ratio("batch.lines", "batch.alone", rates),
    },
    Ratio {
        name: "growth_claims",
        goal: Some(Goal::AtMost(1.1)),
        figure: |book| book.ratio("growth.claims.many", "growth.claims.few", costs),
    },
    Ratio {
        name: "growth_rows",
        goal: Some(Goal::AtMost(1.1)),
        figure: |book| book.ratio("growth.rows.many", "growth.rows.few", costs),
    },
    Ratio {
        name: "growth_playbooks",
        goal: Some(Goal::AtMost(1.1)),
        figure: |book| book.ratio("growth.playbooks.many", "growth.playbooks.few", costs),
    },
    Ratio {
        name: "accept_over_restate_64",
        goal: Some(Goal::AtLeast(12.0)),
        figure: |book| book.ratio("gateway.closed.64", "restate.closed.64", rates),
    },
    Ratio {
        name: "accept_over_restate_256",
        goal: Some(Goal::AtLeast(4.2)),
        figure: |book| book.ratio("gateway.closed.256", "restate.closed.256", rates),
    },
];

/// Memory, in MiB, named and computed like the ratios. What a process needs is the most that it ever had.
pub(crate) static MEMORY: [Ratio; 2] = [
    Ratio {
        name: "gateway_peak_mib_256",
        goal: Some(Goal::AtMost(64.0)),
        figure: |book| book.figure("gateway.closed.256", |sample| sample.peak_mib("gateway")),
    },
    Ratio {
        name: "worker_peak_mib_million",
        goal: Some(Goal::AtMost(128.0)),
        figure: |book| book.figure("memory.million", |sample| sample.peak_mib("worker")),
    },
];

fn rates(over: &Sample, under: &Sample) -> f64 {
    over.per_second / under.per_second
}

fn p99s(over: &Sample, under: &Sample) -> f64 {
    over.ms("p99") / under.ms("p99")
}

fn costs(over: &Sample, under: &Sample) -> f64 {
    over.cpu_of(&ALL) / under.cpu_of(&ALL)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sample(rate: f64, p99: f64, cpu: &[(&str, f64)]) -> Sample {
        Sample {
            seconds: BTreeMap::new(),
            per_second: rate,
            runs_per_second: Some(rate / 2.0),
            latency_ms: [("p50", p99 / 4.0), ("p99", p99)].into(),
            cpu_us: cpu.iter().map(|(name, us)| ((*name).to_owned(), *us)).collect(),
            peak_bytes: [("gateway".to_owned(), 32 << 20)].into(),
            stolen: None,
        }
    }

    #[test]
    fn ratios_are_medians_of_ratios_round_by_round() {
        let mut book = Book::default();
        // A machine that is three times slower in the second round.
        for slow in [1.0, 3.0, 1.0] {
            for (name, rate, p99, cpu) in [
                ("floor.closed.64", 100.0, 1.0, &[("floor", 8.0), ("client", 4.0)][..]),
                ("insert.closed.64", 20.0, 8.0, &[("insert", 20.0), ("postgres", 60.0)]),
                (
                    "pipeline.closed.64",
                    60.0,
                    2.0,
                    &[("gateway", 10.0), ("worker", 5.0), ("postgres", 15.0), ("floor", 99.0)],
                ),
                ("gateway.closed.64", 50.0, 4.0, &[("gateway", 12.0), ("redis", 6.0)]),
                ("retries.new", 60.0, 2.0, &[("gateway", 10.0), ("worker", 5.0), ("postgres", 15.0)]),
                ("retries.replay", 80.0, 4.0, &[("gateway", 9.0), ("redis", 6.0)]),
                ("gateway.closed.256", 50.0, 4.0, &[]),
            ] {
                book.note(name, sample(rate / slow, p99 * slow, cpu));
            }
        }
        let found = |name: &str| {
            let ratio = RATIOS.iter().chain(&MEMORY).find(|ratio| ratio.name == name).expect("a ratio of that name");
            (ratio.figure)(&book).map(|figure| (figure.least, figure.median, figure.most))
        };
        let always = |value: f64| Some((value, value, value));
        assert_eq!(found("gateway_cpu_over_floor"), always(1.5));
        assert_eq!(found("accept_over_insert_64"), always(2.5));
        assert_eq!(found("pipeline_over_insert_64"), always(1.5));
        assert_eq!(found("insert_pg_cpu_over_pipeline_pg_cpu"), always(4.0));
        assert_eq!(found("replay_cpu_over_new"), always(0.5));
        assert_eq!(found("gateway_peak_mib_256"), always(32.0));
        // Not measured.
        assert_eq!(found("accept_over_insert_256"), None);
        assert_eq!(found("growth_rows"), None);
    }

    #[test]
    fn a_goal_is_reached_at_its_bound() {
        assert!(Goal::AtMost(1.8).is_reached(1.8) && !Goal::AtMost(1.8).is_reached(1.81));
        assert!(Goal::AtLeast(2.5).is_reached(2.5) && !Goal::AtLeast(2.5).is_reached(2.49));
    }
}
