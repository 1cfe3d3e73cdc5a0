//! The whole benchmark, small: what it is to find is there, and is a number.

use std::process::Command;

use serde_json::Value;

/// Those of the report that need no peer.
const RATIOS: [&str; 14] = [
    "gateway_cpu_over_floor",
    "accept_over_insert_64",
    "accept_over_insert_256",
    "pipeline_over_insert_64",
    "drain_over_copy",
    "insert_pg_cpu_over_pipeline_pg_cpu",
    "p50_over_insert_1",
    "p99_over_floor_open_5000",
    "p99_pipeline_over_floor_open_5000",
    "replay_cpu_over_new",
    "batch_over_alone",
    "growth_claims",
    "growth_rows",
    "growth_playbooks",
];
const PLOTS: [&str; 3] = ["latency", "throughput", "cpu"];

fn bench(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_runlatch-bench")).args(arguments).output().expect("started");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    (output.status.success(), said)
}

#[test]
fn every_ratio_is_found_and_every_plot_drawn() {
    let out = std::env::temp_dir().join(format!("runlatch-bench-{}", std::process::id()));
    let folder = out.to_str().expect("text");
    let small = ["--rounds", "1", "--seconds", "0.4", "--divide", "200", "--out", folder];
    let only = "closed.1,closed.64,closed.256,open,drain,copy,retries,batch,burst,growth,memory";
    let (done, said) = bench(&[&small[..], &["--only", only]].concat());
    assert!(done, "{said}");
    let report = std::fs::read_to_string(out.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    for name in RATIOS {
        assert!(report["ratios"][name].as_f64().is_some_and(|ratio| ratio > 0.0), "{name}: {}", report["ratios"]);
        assert!(said.contains(name), "{name} is not shown: {said}");
    }
    for name in ["gateway_peak_mib_256", "worker_peak_mib_million"] {
        assert!(report["memory"][name].as_f64().is_some_and(|mib| mib > 1.0), "{}", report["memory"]);
    }
    assert_eq!(report["sizing"]["rates"].as_array().map(Vec::len), Some(3), "{}", report["sizing"]);
    assert_eq!(report["failures"], Value::Array(Vec::new()));
    for plot in PLOTS.iter().flat_map(|name| ["svg", "png"].map(|kind| out.join(format!("{name}.{kind}")))) {
        assert!(std::fs::metadata(&plot).is_ok_and(|plot| plot.len() > 1000), "{}", plot.display());
    }
    std::fs::remove_dir_all(out).expect("removed");
}

#[test]
fn a_name_that_nothing_has_is_an_error() {
    let out = std::env::temp_dir().join(format!("runlatch-bench-none-{}", std::process::id()));
    let (done, said) = bench(&["--rounds", "1", "--only", "typo", "--out", out.to_str().expect("text")]);
    assert!(!done && said.contains("typo") && said.contains("side-by-side"), "{said}");
    std::fs::remove_dir_all(out).expect("removed");
}
