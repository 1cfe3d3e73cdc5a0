//! A wire that can be made to fail: an in-process TCP proxy, and what can be done to it while bytes pass.
//!
//! What it does, a network does. Bytes stay in order and are never altered: they come late, or in pieces, or not at
//! all, and a connection ends in the middle of anything, with or without a word to either end.

mod line;
mod pump;
mod rules;
mod trap;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};

use self::{
    line::Line,
    rules::{Flow, Rules},
    trap::Trap,
};
use crate::port::Port;

/// One of the two directions of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// From the client to the server.
    Server,
    /// From the server to the client.
    Client,
}

/// What has passed since the wire was laid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open.
    pub live: u64,
    /// Connections cut, by whichever fault.
    pub cut: u64,
    /// Bytes passed on.
    pub to_server: u64,
    /// Bytes passed on.
    pub to_client: u64,
}

/// The wire between some clients and a server. Clones are the same wire; faults are in force when their method returns, and
/// add up until [`Wire::heal`]. When the last clone is dropped, its connections end.
#[derive(Clone)]
pub struct Wire {
    lines: Vec<Arc<Line>>,
}

impl Wire {
    /// Lays a wire to a port of 127.0.0.1, on the current runtime.
    pub fn to(port: u16) -> Result<Wire> {
        Wire::on(&tokio::runtime::Handle::current(), port)
    }

    pub(crate) fn on(runtime: &tokio::runtime::Handle, port: u16) -> Result<Wire> {
        let line = Line::lay(runtime, Port::reserve()?, port).context("cannot lay a wire")?;
        Ok(Wire { lines: vec![Arc::new(line)] })
    }

    /// Several as one, where there are any.
    pub(crate) fn join<'a>(wires: impl Iterator<Item = &'a Wire>) -> Option<Wire> {
        let lines: Vec<_> = wires.flat_map(|wire| wire.lines.iter().cloned()).collect();
        (!lines.is_empty()).then_some(Wire { lines })
    }

    /// Where clients connect to, on 127.0.0.1. Of several wires as one, the first's.
    pub fn port(&self) -> u16 {
        self.lines[0].port()
    }

    /// Each piece of bytes comes this much later, in either direction.
    pub fn delay(&self, by: Duration) {
        self.rule(|rules| rules.delay = by);
    }

    /// Bytes come in pieces of at most this many.
    pub fn chop(&self, bytes: usize) {
        self.rule(|rules| rules.piece = bytes.max(1));
    }

    /// Nothing passes, and nothing is lost: a partition. What is sent, ends of connections included, comes when it
    /// heals, however late that is.
    pub fn hold(&self) {
        self.rule(|rules| rules.flow = Flow::Hold);
    }

    /// All that is sent is swallowed, and neither end learns anything, not even that the other has closed. New
    /// connections are accepted and swallow too. What was open meanwhile stays dead for ever, as behind a firewall that
    /// has forgotten it: healing serves new connections only.
    pub fn black_hole(&self) {
        self.rule(|rules| {
            rules.flow = Flow::Swallow;
            rules.holes += 1;
        });
    }

    /// New connections are refused (ECONNREFUSED, since nobody listens). Those that are open go on.
    pub async fn refuse(&self) {
        for line in &self.lines {
            line.listen(false).await;
        }
    }

    /// Resets every open connection (RST to both ends).
    pub fn cut(&self) {
        self.rule(|rules| rules.cuts += 1);
    }

    /// The sender's end is said to the receiver (FIN) although it goes on sending, on every open connection. The other
    /// direction stays as it is.
    pub fn half_close(&self, toward: Toward) {
        self.rule(|rules| rules.fins[toward as usize] += 1);
    }

    /// Lets exactly so many more bytes pass in this direction, over all connections, then resets the one that they
    /// ended on. Once.
    pub fn cut_after(&self, bytes: u64, toward: Toward) {
        self.set(&Trap::After { toward, left: bytes });
    }

    /// Resets the first connection on which `text` would pass in this direction, before its last byte does. Once.
    pub fn cut_within(&self, text: impl Into<Vec<u8>>, toward: Toward) {
        self.set(&Trap::Within { toward, text: text.into() });
    }

    /// Lets a request with this `text` in it arrive at the server, then resets the connection in place of the first byte
    /// that comes back. Once.
    pub fn lose_answer(&self, text: impl Into<Vec<u8>>) {
        self.set(&Trap::Answer { text: text.into() });
    }

    /// All is well again, but for what the faults have done: connections that were cut, half closed or swallowed stay so.
    pub async fn heal(&self) {
        for line in &self.lines {
            line.trap(None);
            line.rule(Rules::heal);
            line.listen(true).await;
        }
    }

    /// What has passed.
    pub fn counts(&self) -> Counts {
        self.lines.iter().map(|line| line.counts()).fold(Counts::default(), |sum, counts| Counts {
            accepted: sum.accepted + counts.accepted,
            live: sum.live + counts.live,
            cut: sum.cut + counts.cut,
            to_server: sum.to_server + counts.to_server,
            to_client: sum.to_client + counts.to_client,
        })
    }

    fn rule(&self, change: impl Fn(&mut Rules)) {
        for line in &self.lines {
            line.rule(&change);
        }
    }

    fn set(&self, trap: &Trap) {
        for line in &self.lines {
            line.trap(Some(trap.clone()));
        }
    }
}
