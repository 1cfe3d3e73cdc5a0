//! The three servers as this machine has them: where the programs are, and whether they are new enough.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// A server that a stack runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL: the catalog and the runs.
    Postgres,
    /// Redis, or Valkey where that is what the machine has: the claims.
    Redis,
    /// NATS with JetStream: the queue.
    Nats,
}

/// Major and minor version.
pub type Version = (u32, u32);

/// A server's program on this machine, new enough to be used.
#[derive(Clone, Debug)]
pub struct Program {
    /// Absolute path of the server's executable. `initdb` is beside `postgres`.
    pub path: PathBuf,
    /// What the executable says it is.
    pub version: Version,
}

/// Why a server cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// There is no such program.
    Missing(Server),
    /// There is one, below [`Server::floor`].
    TooOld(Server, Version),
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, found) = match self {
            Absent::Missing(server) => (server, "is not installed".to_owned()),
            Absent::TooOld(server, (major, minor)) => (server, format!("{major}.{minor} is too old")),
        };
        let (major, minor) = server.floor();
        write!(f, "{server} {found} (at least {major}.{minor} is needed)")
    }
}

impl std::error::Error for Absent {}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::Postgres => "PostgreSQL",
            Server::Redis => "Redis",
            Server::Nats => "NATS",
        })
    }
}

impl Server {
    /// All of them.
    pub const ALL: [Server; 3] = [Server::Postgres, Server::Redis, Server::Nats];

    /// The oldest version that will do: Redis 7 brought `SET NX GET`, NATS 2.9 the JetStream API in use.
    pub fn floor(self) -> Version {
        match self {
            Server::Postgres => (15, 0),
            Server::Redis => (7, 0),
            Server::Nats => (2, 9),
        }
    }

    /// The newest copy on this machine that will do. Looked for once a process where it was found.
    pub fn find(self) -> Result<Program, Absent> {
        static FOUND: [OnceLock<Program>; 3] = [const { OnceLock::new() }; 3];
        let slot = &FOUND[self as usize];
        match slot.get() {
            Some(program) => Ok(program.clone()),
            None => self.search().map(|program| slot.get_or_init(|| program).clone()),
        }
    }

    fn search(self) -> Result<Program, Absent> {
        let newest = self
            .candidates()
            .into_iter()
            .filter_map(|path| version(&path).map(|version| Program { path, version }))
            .max_by_key(|program| program.version)
            .ok_or(Absent::Missing(self))?;
        if newest.version < self.floor() { Err(Absent::TooOld(self, newest.version)) } else { Ok(newest) }
    }

    fn candidates(self) -> Vec<PathBuf> {
        let names: &[&str] = match self {
            Server::Postgres => &["postgres"],
            Server::Redis => &["redis-server", "valkey-server"],
            Server::Nats => &["nats-server"],
        };
        let mut folders: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        // A user's PATH often lacks sbin, and Debian keeps the programs of each PostgreSQL major version to themselves.
        folders.extend(["/usr/local/sbin", "/usr/sbin", "/opt/homebrew/bin"].map(PathBuf::from));
        if self == Server::Postgres {
            folders.extend(subfolders("/usr/lib/postgresql"));
            folders
                .extend(subfolders("/opt/homebrew/opt").filter(|path| path.to_string_lossy().contains("/postgresql@")));
        }
        let paths = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
        // Without initdb beside it a `postgres` is of no use.
        paths
            .filter(|path| path.is_file() && (self != Server::Postgres || path.with_file_name("initdb").is_file()))
            .collect()
    }
}

fn subfolders(parent: &str) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"))
}

fn version(program: &Path) -> Option<Version> {
    let output = Command::new(program).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// The first thing in `text` that reads as a version: `postgres (PostgreSQL) 15.13 (Debian …)`, `18beta1`,
/// `Redis server v=7.0.15 sha=…`, `nats-server: v2.9.10`.
fn parse_version(text: &str) -> Option<Version> {
    let word = text
        .split(|c: char| c.is_whitespace() || c == '=')
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = word.split('.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..digits].parse().ok()
    });
    Some((numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_each_server_says() {
        let said = [
            ("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n", (15, 13)),
            ("postgres (PostgreSQL) 18beta1\n", (18, 0)),
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64\n", (7, 0)),
            ("Valkey server v=8.1.1 sha=00000000:0\n", (8, 1)),
            ("nats-server: v2.9.10\n", (2, 9)),
        ];
        for (text, version) in said {
            assert_eq!(parse_version(text), Some(version), "{text}");
        }
        assert_eq!(parse_version("no version here"), None);
    }

    #[test]
    fn what_is_missing_is_said_with_the_version_that_would_do() {
        let text = Absent::TooOld(Server::Redis, (6, 0)).to_string();
        assert_eq!(text, "Redis 6.0 is too old (at least 7.0 is needed)");
        let text = Absent::Missing(Server::Nats).to_string();
        assert_eq!(text, "NATS is not installed (at least 2.9 is needed)");
    }
}
