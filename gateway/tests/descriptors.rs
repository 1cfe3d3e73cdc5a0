//! Callers' connections leave the gateway the descriptors that it needs for itself.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn a_low_limit_of_open_files_means_fewer_connections() {
    // It need not get as far as its servers, so there are none.
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 300 && exec \"$0\"", env!("CARGO_BIN_EXE_runlatch-gateway")])
        .env("DATABASE_URL", "postgres://user:password@127.0.0.1:1/runlatch")
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .env("NATS_URL", "nats://127.0.0.1:1")
        .env("RUNLATCH_PEPPER", "p".repeat(32))
        .env("RUNLATCH_LISTEN", "127.0.0.1:0")
        .env("RUNLATCH_OPS_LISTEN", "127.0.0.1:0")
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    // It goes on until it is killed, and says that Postgres is away right after.
    let said: Vec<String> = lines.map_while(Result::ok).take(1).collect();
    child.kill().expect("lives");
    child.wait().expect("ends");
    assert!(said[0].contains("open files") && said[0].ends_with("descriptors=300 connections=44"), "{said:?}");
}
