//! Installs the servers that this machine lacks, where that is one well-known command: apt on Debian and Ubuntu.

use std::{
    io::IsTerminal,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::servers::{Absent, Server};

/// Installs what is missing; `say` is told of each step that may take long. Returns at once where nothing is.
///
/// Blocks for as long as apt takes. Fails where nothing but a person can help, naming the command to type.
pub fn install(say: &mut dyn FnMut(&str)) -> Result<()> {
    let absent = absent();
    if absent.is_empty() {
        return Ok(());
    }
    let reasons = absent.iter().map(Absent::to_string).collect::<Vec<_>>().join("; ");
    let packages: Vec<_> = absent.iter().map(|absent| package(server(absent))).collect();
    if !Path::new("/etc/debian_version").exists() || !on_path("apt-get") {
        bail!("{reasons}. {}", advice(&absent));
    }
    let Some(privilege) = privilege() else {
        bail!("{reasons}. Type: apt-get install --no-install-recommends {} (as root)", packages.join(" "));
    };
    say(&format!("installing {} with apt-get (this may take a minute)", packages.join(", ")));
    // A failed update is no reason to stop: the lists on disk may well name the packages.
    let updated = apt(&privilege, &["update"]);
    let install = [&["install", "--yes", "--no-install-recommends"], &packages[..]].concat();
    apt(&privilege, &install).or_else(|error| updated.and(Err(error)))?;
    match self::absent().first() {
        None => Ok(()),
        Some(absent) => {
            bail!("{absent}, and this distribution has no newer one: install it from its makers' own packages")
        }
    }
}

fn absent() -> Vec<Absent> {
    Server::ALL.iter().filter_map(|server| server.find().err()).collect()
}

fn server(absent: &Absent) -> Server {
    match absent {
        Absent::Missing(server) | Absent::TooOld(server, _) => *server,
    }
}

/// The name that Debian, Ubuntu and most others know it by.
fn package(server: Server) -> &'static str {
    match server {
        Server::Postgres => "postgresql",
        Server::Redis => "redis-server",
        Server::Nats => "nats-server",
    }
}

fn advice(absent: &[Absent]) -> String {
    let names = absent.iter().map(|absent| match (server(absent), cfg!(target_os = "macos")) {
        (Server::Postgres, true) => "postgresql@17",
        (Server::Redis, true) => "redis",
        (server, _) => package(server),
    });
    let names = names.collect::<Vec<_>>().join(" ");
    if cfg!(target_os = "macos") {
        format!("Type: brew install {names}")
    } else {
        format!("Install with this system's package manager: {names}")
    }
}

/// What to put before a command to run it as root; `None` where there is no way.
fn privilege() -> Option<Vec<&'static str>> {
    if nix::unistd::geteuid().is_root() {
        return Some(vec![]);
    }
    if !on_path("sudo") {
        return None;
    }
    let asks_nothing =
        Command::new("sudo").args(["-n", "true"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    // sudo may ask for a password where somebody is there to type it.
    (asks_nothing || std::io::stdin().is_terminal()).then(|| vec!["sudo"])
}

fn apt(privilege: &[&str], args: &[&str]) -> Result<()> {
    let quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"];
    let words = [privilege, &quiet, args].concat();
    let output =
        Command::new(words[0]).args(&words[1..]).output().with_context(|| format!("cannot run {}", words[0]))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("`{}` failed:\n{}", words.join(" "), String::from_utf8_lossy(&said).trim_end());
    }
    Ok(())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
