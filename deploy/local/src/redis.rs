//! The private Redis: memory only, as it may be in production too.

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::{builder::Settings, port::Port, probe::Probe, process::Spec, servers::Server};

pub(crate) fn prepare(settings: &Settings, port: Port) -> Result<Spec> {
    let program = Server::Redis.find()?.path;
    let number = port.number();
    let mut args: Vec<_> = ["--bind", "127.0.0.1", "--port"].map(Into::into).into();
    args.push(number.to_string().into());
    // Nothing on disk: a Redis that died comes back empty, and the system must bear that. Full, it must refuse rather
    // than forget claims.
    args.extend(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"].map(Into::into));
    args.extend(settings.redis.iter().map(Into::into));
    Ok(Spec {
        name: "redis".to_owned(),
        program,
        args,
        env: vec![],
        as_postgres: false,
        stop: Signal::SIGTERM,
        probe: Probe::Redis { port: number },
        port: Some(port),
        ops_port: None,
    })
}
