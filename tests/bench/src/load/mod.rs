//! Sends deliveries and times the answers, on one thread and as cheaply as it can: it shares the cores with what it measures.

mod connection;
mod drive;
mod requests;
mod timer;

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;

pub(crate) use self::connection::ask;
pub(crate) use self::drive::drive;
pub(crate) use self::requests::{Requests, Secrets, unknown, wrong};

/// When deliveries are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Each connection sends the next one when the last was answered.
    Closed,
    /// So many a second, at times drawn beforehand (a Poisson process), whatever becomes of the others. Latency counts from
    /// those times: a delivery that had to wait for its turn has waited (no "coordinated omission").
    Open(f64),
}

/// When it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After a time, of which the first part does not count.
    Time { warm: Duration, measured: Duration },
    /// After so many.
    Count(u64),
}

/// What to send where.
pub(crate) struct Plan<'a> {
    /// The connections are spread over them.
    pub(crate) servers: &'a [SocketAddr],
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) until: Until,
    /// The status that every answer must have.
    pub(crate) expect: u16,
}

/// What came of it.
pub(crate) struct Load {
    /// Nanoseconds from the moment that a delivery was to be sent to the end of its answer; of all that were to be sent within
    /// the time that counts, whenever they were answered.
    pub(crate) latency: Histogram<u64>,
    /// Answers within the time that counts.
    pub(crate) answers: u64,
    /// Length of the time that counts.
    pub(crate) time: Duration,
}

/// A moment of a run, at which the caller may read its instruments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Edge {
    /// From here on it counts.
    Begin,
    /// To here.
    End,
}

impl Load {
    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.answers as f64 / self.time.as_secs_f64()
    }
}
