//! The private PostgreSQL: `initdb`, the settings, and the roles.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use crate::{builder::Settings, home::Home, port::Port, probe::Probe, process::Spec, servers::Server};

/// Makes the cluster (about half a second) and says how to run it.
pub(crate) fn prepare(home: &Home, settings: &Settings, password: &str, url: String, port: Port) -> Result<Spec> {
    let program = Server::Postgres.find()?.path;
    let data = home.path().join("postgres/data");
    initdb(home, &program.with_file_name("initdb"), &data, password)?;
    let number = port.number().to_string();
    let mut options = vec![
        ("listen_addresses", "127.0.0.1"),
        ("port", &number),
        ("unix_socket_directories", ""),
        // In the data directory, where it goes away with the rest even after a SIGKILL.
        ("dynamic_shared_memory_type", "mmap"),
    ];
    if !settings.durable {
        // Not synchronous_commit: a commit must survive the death of the server, if not that of the machine.
        options.extend([("fsync", "off"), ("full_page_writes", "off")]);
    }
    options.extend(settings.postgres.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mut args = vec!["-D".into(), data.into_os_string()];
    args.extend(options.iter().flat_map(|(name, value)| ["-c".into(), format!("{name}={value}").into()]));
    Ok(Spec {
        name: "postgres".to_owned(),
        program,
        args,
        env: vec![],
        as_postgres: true,
        // "Fast": SIGTERM would wait until every client has left of its own accord.
        stop: Signal::SIGINT,
        probe: Probe::Postgres { url },
        port: Some(port),
        ops_port: None,
    })
}

fn initdb(home: &Home, program: &Path, data: &Path, password: &str) -> Result<()> {
    let file = home.path().join("postgres/password");
    let mut secret = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
    secret.write_all(password.as_bytes())?;
    home.give_to_postgres(&file)?;
    let mut command = home.command("initdb", program, true);
    command.arg("--pgdata").arg(data).arg("--pwfile").arg(&file);
    command.args(["--username=postgres", "--auth-host=scram-sha-256", "--auth-local=reject"]);
    // A data directory of a minute ago need not survive a power cut.
    command.args(["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]);
    let output = home.output(command, "")?;
    fs::remove_file(&file)?;
    if !output.status.success() {
        bail!("initdb failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}
