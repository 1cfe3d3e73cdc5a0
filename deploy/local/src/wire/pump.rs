//! One connection, and the two directions in which its bytes are carried.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::sleep,
};

use super::{
    Toward,
    line::Shared,
    rules::{Flow, Rules},
    trap::Fate,
};

/// A connection of one line.
pub(super) struct Connection {
    rules: watch::Receiver<Rules>,
    /// The rules when it was accepted.
    born: Rules,
    /// Set once a request has passed whose answer must not.
    answer_lost: AtomicBool,
    shared: Arc<Shared>,
}

/// Why both ends are reset.
enum Broken {
    /// A fault that we were told to make.
    Cut,
    /// One end has failed, and the other is to see it. Also where the server refuses.
    End,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Broken {
        Broken::End
    }
}

impl Connection {
    pub(super) fn new(rules: watch::Receiver<Rules>, shared: Arc<Shared>) -> Connection {
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let born = *rules.borrow();
        Connection { rules, born, answer_lost: AtomicBool::new(false), shared }
    }

    /// Until both ends have closed, or one has failed, or it is cut, or the wire is gone.
    pub(super) async fn run(self, mut client: TcpStream, target: u16) {
        let connected = tokio::select! {
            connected = self.connect(&mut client, target) => connected,
            broken = self.cut() => Err(broken),
        };
        match connected {
            Ok(None) => {}
            Ok(Some(mut server)) => {
                let carried = tokio::select! {
                    carried = self.carry(&mut client, &mut server) => carried,
                    broken = self.cut() => Err(broken),
                };
                if let Err(broken) = carried {
                    self.reset(&broken, &[&client, &server]);
                }
            }
            Err(broken) => self.reset(&broken, &[&client]),
        }
    }

    /// Nothing where the client has fallen into a black hole, and has left.
    async fn connect(&self, client: &mut TcpStream, target: u16) -> Result<Option<TcpStream>, Broken> {
        if self.born.flow == Flow::Swallow || !self.passable().await {
            swallow(client).await;
            return Ok(None);
        }
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
        // What comes in pieces is to go on in pieces.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        Ok(Some(server))
    }

    async fn carry(&self, client: &mut TcpStream, server: &mut TcpStream) -> Result<(), Broken> {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let requests = self.pump(Toward::Server, from_client, to_server);
        let answers = self.pump(Toward::Client, from_server, to_client);
        tokio::try_join!(requests, answers).map(drop)
    }

    /// Carries one direction to its end.
    async fn pump(&self, way: Toward, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), Broken> {
        let (mut before, mut buffer) = (vec![], vec![0; Rules::new().piece]);
        loop {
            let rules = *self.rules.borrow();
            let read = tokio::select! {
                read = from.read(&mut buffer[..rules.piece]) => read,
                () = self.until(|rules| rules.fins[way as usize] != self.born.fins[way as usize]) => {
                    to.shutdown().await?;
                    swallow(&mut from).await;
                    return Ok(());
                }
            };
            // The delay that holds now, not when we began to wait for bytes.
            let delay = self.rules.borrow().delay;
            if !delay.is_zero() {
                sleep(delay).await;
            }
            if !self.passable().await {
                if read.is_ok_and(|length| length > 0) {
                    swallow(&mut from).await;
                }
                return Ok(());
            }
            let piece = &buffer[..read?];
            if piece.is_empty() {
                to.shutdown().await?;
                return Ok(());
            }
            if way == Toward::Client && self.answer_lost.load(Ordering::Relaxed) {
                return Err(Broken::Cut);
            }
            match self.fate(way, &mut before, piece) {
                Fate::Pass => {}
                Fate::Cut(length) => {
                    self.pass(way, &mut to, &piece[..length]).await?;
                    return Err(Broken::Cut);
                }
                Fate::LoseAnswer => self.answer_lost.store(true, Ordering::Relaxed),
            }
            self.pass(way, &mut to, piece).await?;
        }
    }

    async fn pass(&self, way: Toward, to: &mut WriteHalf<'_>, piece: &[u8]) -> Result<(), Broken> {
        to.write_all(piece).await?;
        self.shared.passed[way as usize].fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn fate(&self, way: Toward, before: &mut Vec<u8>, piece: &[u8]) -> Fate {
        let mut trap = self.shared.trap.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = trap.as_mut().map_or(Fate::Pass, |trap| trap.judge(way, before, piece));
        if fate != Fate::Pass {
            *trap = None;
        }
        fate
    }

    /// Waits while all is held. False once this connection lies in a black hole, for good.
    async fn passable(&self) -> bool {
        let in_a_hole = |rules: &Rules| rules.holes != self.born.holes;
        self.until(|rules| rules.flow != Flow::Hold || in_a_hole(rules)).await;
        !in_a_hole(&self.rules.borrow())
    }

    async fn cut(&self) -> Broken {
        let mut rules = self.rules.clone();
        match rules.wait_for(|rules| rules.cuts != self.born.cuts).await {
            Ok(_) => Broken::Cut,
            Err(_) => Broken::End,
        }
    }

    /// Waits until the rules are so; for ever where the wire is gone, which [`Connection::cut`] sees.
    async fn until(&self, mut so: impl FnMut(&Rules) -> bool) {
        let mut rules = self.rules.clone();
        if rules.wait_for(|rules| so(rules)).await.is_err() {
            std::future::pending().await
        }
    }

    fn reset(&self, broken: &Broken, ends: &[&TcpStream]) {
        if let Broken::Cut = broken {
            self.shared.cut.fetch_add(1, Ordering::Relaxed);
        }
        for end in ends {
            // Fails where the end is closed already.
            _ = end.set_zero_linger();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.ended.fetch_add(1, Ordering::Release);
    }
}

/// Reads until its source ends or fails, and keeps nothing.
async fn swallow(from: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 4096];
    while matches!(from.read(&mut buffer).await, Ok(length) if length > 0) {}
}
