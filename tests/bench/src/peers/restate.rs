//! Restate's server with all its settings as they come, and a service behind it that does nothing.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::accounts::Process;

/// Where a delivery is sent to be handled later.
pub(super) const PATH: &str = "/bench/deliver/send";

/// What is installed.
const FILES: [(&str, &str); 4] = [
    ("package.json", include_str!("../../peers/restate/package.json")),
    ("package-lock.json", include_str!("../../peers/restate/package-lock.json")),
    (".npmrc", include_str!("../../peers/restate/.npmrc")),
    (HANDLER, include_str!("../../peers/restate/handler.mjs")),
];
const HANDLER: &str = "handler.mjs";
const KEEP: &str = include_str!("keep.sh");

/// Where it runs and what it tells whom; nothing that decides how fast or how safe it is.
const SETTINGS: [(&str, &str); 8] = [
    ("RESTATE_BIND_IP", "127.0.0.1"),
    ("RESTATE_USE_RANDOM_PORTS", "true"),
    // The name of a folder.
    ("RESTATE_NODE_NAME", "bench"),
    ("RESTATE_LOG_DISABLE_ANSI_CODES", "true"),
    ("RESTATE_DISABLE_TELEMETRY", "true"),
    ("DO_NOT_TRACK", "1"),
    // The service's: two lines for each delivery otherwise.
    ("RESTATE_LOGGING", "WARN"),
    ("NODE_ENV", "production"),
];

/// Longest wait for a first delivery to be handled.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for a backlog to be handled.
const BACKLOG: Duration = Duration::from_secs(300);
/// Lines of a log that an error shows.
const SHOWN: usize = 20;

/// A running one. Dropping it ends both processes and removes what they have written; so does the end of this process.
pub(crate) struct Restate {
    keeper: Child,
    directory: PathBuf,
    server: u32,
    handler: u32,
    /// Where deliveries are taken.
    pub(crate) address: SocketAddr,
}

#[derive(Deserialize)]
struct Version {
    ingress_endpoint: String,
}

impl Restate {
    /// Installs it beside what Cargo has built, unless it is there already. Returns the folder.
    pub(crate) fn install() -> Result<PathBuf> {
        for program in ["node", "npm"] {
            match Command::new(program).arg("--version").output() {
                Ok(output) if output.status.success() => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    bail!("Restate comes from npm, and `{program}` is not installed (Node.js 20 or later, with npm)");
                }
                Ok(output) => bail!("`{program} --version`: {}", output.status),
                Err(error) => return Err(error).context(program),
            }
        }
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).context("a folder of what Cargo has built")?;
        let folder = target.join("bench/peers/restate");
        // Written last: what is there is complete.
        let (stamp, lock) = (folder.join("installed"), FILES[1].1);
        let installed = fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock);
        fs::create_dir_all(&folder)?;
        for (name, text) in FILES {
            fs::write(folder.join(name), text)?;
        }
        if !installed {
            // Some 200 MB, of no use afterwards.
            let cache = folder.join("cache");
            let mut npm = Command::new("npm");
            npm.arg("ci").arg("--cache").arg(&cache).args(["--logs-max", "0"]).current_dir(&folder);
            let output = npm.stdin(Stdio::null()).output().context("npm")?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "`npm ci` in {}: {}\n{}", folder.display(), output.status, said.trim());
            _ = fs::remove_dir_all(cache);
            fs::write(stamp, lock)?;
        }
        Ok(folder)
    }

    /// Starts what is installed in that folder, and waits until a delivery has been handled.
    pub(crate) async fn start(installed: &Path) -> Result<Self> {
        let directory = format!("runlatch-restate-{}", Uuid::new_v4().simple());
        let directory = std::path::absolute(std::env::temp_dir())?.join(directory);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEP, "runlatch-restate"]).args([
            &directory,
            &server(installed)?,
            &installed.join(HANDLER),
        ]);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs(SETTINGS);
        // Ctrl-C is for us: it is to clear up.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut keeper = command.spawn().context("/bin/sh")?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().context("a pipe")?).read_line(&mut line)?;
        let pids = line.trim().split_once(' ').context("Restate has not started")?;
        let (server, handler) = (pids.0.parse()?, pids.1.parse()?);
        let mut restate = Self { keeper, directory, server, handler, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let ready = timeout(PATIENCE, restate.ready()).await;
        let ready = ready.unwrap_or_else(|_| bail!("no delivery was handled within {PATIENCE:?}"));
        restate.address = ready.with_context(|| format!("Restate{}", restate.tails()))?;
        Ok(restate)
    }

    /// Makes the service known and sends a first delivery. Returns where.
    async fn ready(&self) -> Result<SocketAddr> {
        let url = self.until(async || {
            let log = fs::read_to_string(self.directory.join("handler.log")).ok()?;
            log.lines().find(|line| line.starts_with("http://")).map(str::to_owned)
        });
        let service = json!({ "uri": url.await? });
        let socket = self.directory.join("restate-data/bench/admin.sock");
        let admin = reqwest::Client::builder().no_proxy().unix_socket(socket).build()?;
        let known = self.until(async || {
            let answer = admin.post("http://admin/deployments").json(&service).send().await.ok()?;
            answer.error_for_status().ok()
        });
        known.await?;
        let version: Version = admin.get("http://admin/version").send().await?.error_for_status()?.json().await?;
        let ingress = version.ingress_endpoint.trim_end_matches('/');
        let client = reqwest::Client::builder().no_proxy().build()?;
        let accepted = self.until(async || {
            let delivery = client.post(format!("{ingress}{PATH}")).header("idempotency-key", "first").json(&json!({}));
            let answer = delivery.send().await.ok()?;
            (answer.status() == http::StatusCode::ACCEPTED).then_some(())
        });
        accepted.await?;
        self.until(async || (self.counted() == Some(1)).then_some(())).await?;
        ingress.strip_prefix("http://").context("an address")?.parse().with_context(|| ingress.to_owned())
    }

    /// Asks until there is an answer.
    async fn until<T>(&self, ask: impl AsyncFn() -> Option<T>) -> Result<T> {
        loop {
            if let Some(answer) = ask().await {
                return Ok(answer);
            }
            for Process { name, pid, .. } in self.processes() {
                // Nobody has waited for it.
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                ensure!(!stat.contains(") Z "), "{name} has ended");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its part of all that may use the cores.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let both = [("restate", self.server), ("restate-handler", self.handler)];
        both.map(|(name, pid)| Process { name: name.to_owned(), pid, tree: false }).into()
    }

    /// Deliveries that the service has had, but for the first.
    pub(crate) fn handled(&self) -> u64 {
        self.counted().unwrap_or_default().saturating_sub(1)
    }

    fn counted(&self) -> Option<u64> {
        fs::read_to_string(self.directory.join("handled")).ok()?.parse().ok()
    }

    /// Waits until the service has had so many.
    pub(crate) async fn settled(&self, expected: u64) -> Result<()> {
        let deadline = Instant::now() + BACKLOG;
        while self.handled() < expected {
            let handled = self.handled();
            ensure!(Instant::now() < deadline, "{handled} of {expected} within {BACKLOG:?}{}", self.tails());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The ends of the logs, to be appended to an error.
    fn tails(&self) -> String {
        let tail = |name: &str| {
            let log = fs::read(self.directory.join(name)).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<_> = log.lines().collect();
            format!("\nthe end of {name}:\n  {}", lines[lines.len().saturating_sub(SHOWN)..].join("\n  "))
        };
        tail("server.log") + &tail("handler.log")
    }
}

impl Drop for Restate {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        _ = self.keeper.wait();
    }
}

/// The server itself: what npm puts on the path is a script that starts it.
fn server(installed: &Path) -> Result<PathBuf> {
    let packages = installed.join("node_modules/@restatedev");
    // npm installs that of this machine only.
    let programs = fs::read_dir(&packages).with_context(|| packages.display().to_string())?;
    let mut programs = programs.filter_map(|package| Some(package.ok()?.path().join("bin/restate-server")));
    programs.find(|program| program.is_file()).context("Restate has no server for this machine")
}
