//! A database for each test, all of them in one Postgres that lives as long as some test needs it.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Weak},
};

use local::{Role, Stack};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use uuid::Uuid;

pub(crate) const PEPPER: &str = "a pepper for tests, of 32 bytes or more";

/// What became of one run of the program.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// What it printed, if all went well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// The error that it reported, if it exited with this code and printed nothing else.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        assert!(self.stderr.lines().all(|line| line.starts_with("runlatch: ")), "{self:?}");
        self.stderr
    }
}

/// A run of the program that has begun.
pub(crate) struct Running(Child);

impl Running {
    /// Ends it at once, wherever it is.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Stops it in the midst of what it does.
    pub(crate) fn freeze(&self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    }

    pub(crate) fn outcome(self) -> Outcome {
        let output = self.0.wait_with_output().unwrap();
        Outcome {
            code: output.status.code().expect("it ends by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Starts the program with nothing in its environment but this.
pub(crate) fn start(env: &[(&str, &str)], args: &[&str], stdin: &[u8]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runlatch"));
    command.env_clear().envs(env.iter().copied()).args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it was built");
    // It may have ended without reading; what comes of that is in its outcome.
    _ = child.stdin.take().unwrap().write_all(stdin);
    Running(child)
}

/// A Postgres, for as long as this lives.
pub(crate) struct Server {
    superuser: String,
    owner: String,
    /// In a mutex only because it cannot otherwise be shared.
    _stack: Mutex<Stack>,
}

impl Server {
    /// One that no migration has touched yet.
    pub(crate) async fn start() -> Self {
        let stack = Stack::builder().gateways(0).workers(0).migrate(false).durable(false).start().await.unwrap();
        let [superuser, owner] = [Role::Superuser, Role::Owner].map(|role| stack.database_url(role));
        Self { superuser, owner, _stack: Mutex::new(stack) }
    }

    /// The one of all tests that run at the moment.
    async fn shared() -> Arc<Self> {
        static SHARED: tokio::sync::Mutex<Weak<Server>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&server);
        server
    }
}

pub(crate) struct Database {
    /// What the operator sets.
    pub(crate) url: String,
    server: Arc<Server>,
    name: String,
}

impl Database {
    /// Without a schema, and so without a user of its own: as its owner.
    pub(crate) async fn empty() -> Self {
        Self::empty_on(Server::shared().await).await
    }

    pub(crate) async fn empty_on(server: Arc<Server>) -> Self {
        let name = format!("db_{}", Uuid::new_v4().simple());
        let maintenance = connect(&server.superuser).await;
        maintenance.batch_execute(&format!("CREATE DATABASE {name} OWNER owner TEMPLATE template0")).await.unwrap();
        let url = rename(&server.owner, &name);
        Self { url, server, name }
    }

    /// With the schema, as an operator without any other right.
    pub(crate) async fn migrated() -> Self {
        let mut database = Self::empty().await;
        database.run(&["migrate"]).ok();
        database.url = database.login("runlatch_operator").await;
        database
    }

    /// The URL of a new login that is a member of this role.
    pub(crate) async fn login(&self, role: &str) -> String {
        let login = format!("login_{}", Uuid::new_v4().simple());
        let create = format!("CREATE ROLE {login} LOGIN PASSWORD 'canary-password' IN ROLE {role}");
        self.admin().await.batch_execute(&create).await.unwrap();
        let url = rename(&self.server.superuser, &self.name);
        format!("postgres://{login}:canary-password@{}", url.split_once('@').unwrap().1)
    }

    pub(crate) async fn admin(&self) -> Client {
        connect(&rename(&self.server.superuser, &self.name)).await
    }

    /// Starts the program as the operator, with a pepper.
    pub(crate) fn start(&self, args: &[&str], stdin: &str) -> Running {
        start(&[("DATABASE_URL", &self.url), ("RUNLATCH_PEPPER", PEPPER)], args, stdin.as_bytes())
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.start(args, "").outcome()
    }

    /// Applies a catalog from stdin.
    pub(crate) fn apply(&self, toml: &str) -> Outcome {
        self.start(&["catalog", "apply", "-"], toml).outcome()
    }

    /// What a query of any rights returns, one row a line, its columns parted by blanks.
    pub(crate) async fn query(&self, sql: &str) -> String {
        let messages = self.admin().await.simple_query(sql).await.unwrap();
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).unwrap_or("-")).collect::<Vec<_>>().join(" "))
            }
            _ => None,
        });
        rows.collect::<Vec<_>>().join("\n")
    }
}

/// The same server's URL of another database.
fn rename(url: &str, database: &str) -> String {
    format!("{}/{database}", url.rsplit_once('/').unwrap().0)
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
