//! `runlatch drill` as an operator runs it.

use std::net::TcpListener;

use crate::database::start;

/// All parts die in turn under a burst, and nothing is lost or doubled. What the environment says of servers is left
/// alone: whoever types `drill` where production is configured must not have drilled production.
#[test]
fn it_kills_everything_and_finds_nothing_wrong_and_leaves_configured_servers_alone() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let place = trap.local_addr().unwrap();
    let [database, redis, nats] =
        ["postgres://op:canary@", "redis://", "nats://"].map(|start| format!("{start}{place}/db"));
    let path = std::env::var("PATH").unwrap();
    let env = [("DATABASE_URL", &*database), ("REDIS_URL", &redis), ("NATS_URL", &nats), ("PATH", &path)];

    let args = ["drill", "--deliveries", "6000", "--seed", "11", "--json"];
    let outcome = start(&env, &args, b"").outcome();
    assert!(outcome.stderr.lines().all(|line| line.starts_with("runlatch: ")), "{outcome:?}");
    for process in ["redis", "nats", "postgres", "gateway-", "worker-"] {
        assert!(outcome.stderr.contains(&format!("killed {process}")), "{outcome:?}");
    }
    let report: serde_json::Value = serde_json::from_str(&outcome.ok()).unwrap();
    assert_eq!((&report["seed"], &report["clean"]), (&11.into(), &true.into()), "{report}");
    assert_eq!(report["killed"], serde_json::json!(["redis", "nats", "postgres", "gateway", "worker"]));
    let figures = &report["figures"];
    assert_eq!((&figures["lost"], &figures["doubled"]), (&0.into(), &0.into()), "{report}");
    assert_eq!(figures["rows"], figures["keys"], "{report}");
    assert!(figures["retried"].as_u64() > Some(0) && figures["keys"].as_u64() > Some(4000), "{report}");

    let called = trap.accept().map(drop);
    assert_eq!(called.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody called the configured servers");
}

#[test]
fn one_that_cannot_be_held_is_69() {
    let error = start(&[("PATH", "/nowhere")], &["drill", "--deliveries", "100"], b"").outcome().failed(69);
    assert!(error.contains("the drill could not be held: "), "{error}");
}

#[test]
fn a_violation_is_1_and_named() {
    let path = std::env::var("PATH").unwrap();
    let logs = std::env::temp_dir().join(format!("drill-{}", uuid::Uuid::new_v4()));
    let args = ["drill", "--deliveries", "200", "--kill", "none", "--seed", "5", "--sabotage", "lose"];
    let args = [&args[..], &["--keep-logs", logs.to_str().unwrap()]].concat();
    let outcome = start(&[("PATH", &path)], &args, b"").outcome();
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stdout.contains("neither run nor dead letter") && outcome.stdout.ends_with("verdict: VIOLATED\n"));
    // The audit finds it too, by counting what workers made.
    let (_, audit) = outcome.stdout.split_once("! audit ").expect("a violation");
    let counts = audit.split_once(" runs were made and ").expect("counts");
    let number = |words: Option<&str>| words.and_then(|word| word.parse::<u64>().ok());
    let (made, there) = (number(counts.0.split(' ').next_back()), number(counts.1.split(' ').next()));
    assert!(there > Some(150) && made == there.map(|there| there + 1), "{}", outcome.stdout);
    let again = "the same again: runlatch drill --seed 5 --deliveries 200 --kill none --senders 64 --sabotage lose\n";
    assert!(outcome.stderr.contains(&format!("2 violations; {again}")), "{outcome:?}");
    for process in ["gateway-1", "gateway-2", "worker-1", "worker-2", "nats", "postgres", "redis"] {
        let log = std::fs::metadata(logs.join(format!("{process}.log"))).expect("the log is kept");
        assert!(log.len() > 0, "{process} logged nothing");
    }
    std::fs::remove_dir_all(&logs).unwrap();
}
