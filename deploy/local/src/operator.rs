//! Runlatch's own programs in the stack: gateways, workers, and the operator's command line.

use std::{fs, process::Output, time::Duration};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tokio::time::timeout;

use crate::{
    Extra, Role, Server, Stack,
    addresses::{nats_url, redis_url},
    binaries,
    port::Port,
    probe::Probe,
    process::Spec,
};

impl Stack {
    pub(crate) fn gateway_spec(&self, extra: &Extra) -> Result<Spec> {
        let port = Port::reserve()?;
        let listen = format!("127.0.0.1:{}", port.number());
        let own = Extra::new()
            .env("RUNLATCH_LISTEN", listen)
            .env("DATABASE_URL", self.roles.url(Role::Gateway, self.port_for(Role::Gateway, Server::Postgres)))
            .env("REDIS_URL", redis_url(self.port_for(Role::Gateway, Server::Redis)))
            .env("NATS_URL", nats_url(self.port_for(Role::Gateway, Server::Nats)))
            .env("RUNLATCH_PEPPER", self.pepper());
        self.spec("gateway", Some(port), [own, self.settings.gateway.clone(), extra.clone()])
    }

    pub(crate) fn worker_spec(&self, extra: &Extra) -> Result<Spec> {
        let own = Extra::new()
            .env("DATABASE_URL", self.roles.url(Role::Worker, self.port_for(Role::Worker, Server::Postgres)))
            .env("NATS_URL", nats_url(self.port_for(Role::Worker, Server::Nats)));
        self.spec("worker", None, [own, self.settings.worker.clone(), extra.clone()])
    }

    fn spec(&self, kind: &str, port: Option<Port>, extras: [Extra; 3]) -> Result<Spec> {
        let ops_port = Port::reserve()?;
        // Not the number of those that run: one may have been taken away.
        let taken = |number: &usize| self.handle(&format!("{kind}-{number}")).is_ok();
        let number = (1..).find(|number| !taken(number)).unwrap_or_default();
        let mut env = vec![("RUNLATCH_OPS_LISTEN".to_owned(), format!("127.0.0.1:{}", ops_port.number()))];
        let mut args = vec![];
        for extra in extras {
            env.extend(extra.env);
            args.extend(extra.args.into_iter().map(Into::into));
        }
        Ok(Spec {
            name: format!("{kind}-{number}"),
            program: binaries::find(&format!("runlatch-{kind}"))?,
            args,
            env,
            as_postgres: false,
            stop: Signal::SIGTERM,
            probe: Probe::Http { ops_port: ops_port.number(), path: "readyz" },
            port,
            ops_port: Some(ops_port),
        })
    }

    /// Makes the schema and the logins.
    pub(crate) async fn migrate(&self) -> Result<()> {
        let output = self.runlatch_as(Role::Owner, &["migrate"], "").await?;
        checked(&["migrate"], &output)?;
        self.roles.create_logins(self.ports.postgres).await
    }

    /// Runs the operator's command line with the stack's environment, and returns what it wrote to its standard output. Fails
    /// with what it wrote to the other where it does.
    pub async fn runlatch(&self, args: &[&str]) -> Result<String> {
        checked(args, &self.runlatch_as(Role::Operator, args, "").await?)
    }

    /// As [`Stack::runlatch`], with another login to the database, something to read on its standard input, and whatever
    /// comes of it.
    pub async fn runlatch_as(&self, role: Role, args: &[&str], stdin: &str) -> Result<Output> {
        let mut command = self.home.command("runlatch", &binaries::find("runlatch")?, false);
        command.args(args).env("DATABASE_URL", self.database_url(role)).env("RUNLATCH_PEPPER", self.pepper());
        command.env("REDIS_URL", self.redis_url()).env("NATS_URL", self.nats_url());
        let (home, stdin) = (self.home.clone(), stdin.to_owned());
        let output = timeout(Duration::from_secs(60), self.blocking(move || home.output(command, &stdin))).await;
        output.with_context(|| format!("`runlatch {}` has not ended after a minute", args.join(" ")))??
    }

    /// Applies a catalog, given as TOML, and returns what that changed.
    pub async fn catalog(&self, toml: &str) -> Result<String> {
        let file = tempfile::Builder::new().suffix(".toml").tempfile_in(self.directory())?;
        fs::write(file.path(), toml)?;
        self.runlatch(&["catalog", "apply", &file.path().to_string_lossy()]).await
    }

    /// Creates a webhook secret for a playbook, `organization/playbook`, and returns it.
    pub async fn secret(&self, playbook: &str) -> Result<String> {
        Ok(self.runlatch(&["secret", "create", playbook]).await?.trim().to_owned())
    }
}

fn checked(args: &[&str], output: &Output) -> Result<String> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`runlatch {}` failed ({}):\n{}", args.join(" "), output.status, said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
