//! What Runlatch is held against, each as a process of its own: this very program, told to be a server. It works with as many
//! threads as a gateway does, and by the same runtime.

mod floor;
mod insert;

pub(crate) use self::insert::TABLE;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::{future::Future, io, thread};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::ValueEnum;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A server to be.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// Reads the body and answers a constant: what HTTP alone costs.
    Floor,
    /// One `INSERT … ON CONFLICT` for each request: what one would write without a queue.
    Insert,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Insert => "insert",
        }
    }
}

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts one. `database` and `pool` are for the one that has a database.
    pub(crate) fn start(kind: Kind, database: &str, pool: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", kind.name(), "--pool", &pool.to_string()]);
        // As many threads as a gateway has by itself: what is set in our environment does not reach the gateways.
        command.env_remove("RUNLATCH_THREADS");
        // The pipe also tells it when we are gone.
        command.env("DATABASE_URL", database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", kind.name()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("{} has not started", kind.name()))?;
        Ok(Self { child, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Is the server, until whoever started it is gone.
pub(crate) fn be(kind: Kind, threads: ops::Threads, database: &str, pool: usize) -> Result<()> {
    let (here, gone) = oneshot::channel::<()>();
    thread::spawn(|| {
        _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(here);
    });
    threads.runtime()?.block_on(async {
        let served = async {
            match kind {
                Kind::Floor => floor::serve().await,
                Kind::Insert => insert::serve(database, pool).await,
            }
        };
        tokio::select! {
            served = served => served,
            _ = gone => Ok(()),
        }
    })
}

/// Serves HTTP/1.1 with `answer`.
async fn serve<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> Result<()>
where
    F: Future<Output = Result<Response<Full<Bytes>>>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        // A connection ends with its peer; what is wrong with an answer its peer sees.
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            _ = connection.await;
        });
    }
}
