//! Whether a process is ready, asked in its own language.

use std::time::Duration;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_postgres::error::SqlState;

/// What to ask.
#[derive(Clone, Debug)]
pub(crate) enum Probe {
    /// Log in.
    Postgres { url: String },
    /// `PING`.
    Redis { port: u16 },
    /// `PING`, after the greeting has told that JetStream is on.
    Nats { port: u16 },
    /// `GET` this, `readyz` or `healthz`.
    Http { ops_port: u16, path: &'static str },
}

impl Probe {
    /// What to ask where it is enough that the process answers at all.
    pub(crate) fn leniently(&self) -> Probe {
        match self {
            Probe::Http { ops_port, .. } => Probe::Http { ops_port: *ops_port, path: "healthz" },
            other => other.clone(),
        }
    }

    /// Asks once; the error is for a person to read. Takes a second at most.
    pub(crate) async fn ask(&self) -> Result<(), String> {
        let answer = async {
            match self {
                Probe::Postgres { url } => postgres(url).await,
                Probe::Redis { port } => redis(*port).await.map_err(|error| error.to_string()),
                Probe::Nats { port } => nats(*port).await.map_err(|error| error.to_string()),
                Probe::Http { ops_port, path } => get(*ops_port, path).await,
            }
        };
        timeout(Duration::from_secs(1), answer).await.unwrap_or_else(|_| Err("no answer within a second".to_owned()))
    }
}

async fn postgres(url: &str) -> Result<(), String> {
    match tokio_postgres::connect(url, tokio_postgres::NoTls).await {
        Ok(_) => Ok(()),
        // The server is well; the stack makes the database only after it has seen this.
        Err(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => Ok(()),
        Err(error) => Err(error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())),
    }
}

async fn redis(port: u16) -> std::io::Result<()> {
    let mut connection = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    connection.write_all(b"PING\r\n").await?;
    expect(&mut connection, "+PONG").await
}

async fn nats(port: u16) -> std::io::Result<()> {
    let mut connection = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    let mut greeting = String::new();
    connection.read_line(&mut greeting).await?;
    if !greeting.contains("\"jetstream\":true") {
        return Err(std::io::Error::other("JetStream is not on"));
    }
    connection.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").await?;
    expect(&mut connection, "PONG").await
}

async fn expect(connection: &mut BufReader<TcpStream>, answer: &str) -> std::io::Result<()> {
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    if line.trim_end() == answer {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("it says {:?}", line.trim_end())))
    }
}

async fn get(port: u16, path: &str) -> Result<(), String> {
    // No proxy: the environment may name one, and it cannot reach this machine's loopback.
    let client = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
    let answer = client.get(format!("http://127.0.0.1:{port}/{path}")).send().await;
    let answer = answer.map_err(|_| format!("its /{path} cannot be reached"))?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(answer.text().await.unwrap_or_default().trim().to_owned())
}
