//! The private NATS server, with JetStream.

use std::{fs, thread::available_parallelism};

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::{builder::Settings, home::Home, port::Port, probe::Probe, process::Spec, servers::Server};

pub(crate) fn prepare(home: &Home, settings: &Settings, port: Port) -> Result<Spec> {
    let program = Server::Nats.find()?.path;
    let number = port.number();
    let store = home.path().join("nats");
    let file = home.path().join("nats.conf");
    // {:?} quotes and escapes, in a way that this format reads.
    let config = format!(
        "listen: \"127.0.0.1:{number}\"\nserver_name: \"runlatch-{number}\"\njetstream {{ store_dir: {store:?} }}\n{}\n",
        settings.nats
    );
    fs::write(&file, config)?;
    Ok(Spec {
        name: "nats".to_owned(),
        program,
        args: vec!["--config".into(), file.into()],
        // Go spreads over all cores by itself, and its threads wake each other up for every message: beside others, on two
        // cores, that costs a third of the time to an answer. Half of the cores, as a gateway or a worker takes.
        env: vec![("GOMAXPROCS".into(), half_of_the_cores().to_string())],
        as_postgres: false,
        stop: Signal::SIGTERM,
        probe: Probe::Nats { port: number },
        port: Some(port),
        ops_port: None,
    })
}

fn half_of_the_cores() -> usize {
    available_parallelism().map_or(1, usize::from).div_ceil(2)
}
