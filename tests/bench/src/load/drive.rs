//! The loop of the load: sends what is due, takes what has been answered.

use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::connection::Connection;
use super::{Edge, Load, Pace, Plan, Requests, Until};

/// Longest silence of a server.
const PATIENCE: Duration = Duration::from_secs(30);
const TIMER: Token = Token(usize::MAX);

/// Sends until the plan is done and everything sent is answered. `edge` is called as what counts begins and ends.
///
/// # Errors
/// An answer with another status than expected, or none.
pub(crate) fn drive(plan: &Plan<'_>, requests: &mut Requests, mut edge: impl FnMut(Edge)) -> Result<Load> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut connections = (0..plan.connections)
        .map(|index| Connection::open(plan.servers[index % plan.servers.len()], poll.registry(), Token(index)))
        .collect::<Result<Vec<_>>>()?;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
    let raw = std::os::fd::AsFd::as_fd(&timer).as_raw_fd();
    poll.registry().register(&mut SourceFd(&raw), TIMER, Interest::READABLE)?;

    let mut latency = Histogram::new(3)?;
    let (mut sent, mut answers, mut in_flight) = (0_u64, 0_u64, 0_usize);
    let began = Instant::now();
    let (from, to) = match plan.until {
        Until::Time { warm, measured } => (began + warm, Some(began + warm + measured)),
        Until::Count(_) => (began, None),
    };
    let count = if let Until::Count(count) = plan.until { count } else { u64::MAX };
    let (mut counting, mut ended): (Option<Instant>, Option<Instant>) = (None, None);
    let mut schedule = Schedule::new(plan.pace, began);
    // Those free, the one used last first: its data is still in the cache, here and there.
    let mut free: Vec<usize> = (0..plan.connections).rev().collect();
    let mut due: VecDeque<Instant> = VecDeque::new();
    loop {
        let now = Instant::now();
        if counting.is_none() && now >= from {
            edge(Edge::Begin);
            counting = Some(Instant::now());
        }
        if ended.is_none() && to.is_some_and(|to| now >= to) {
            ended = Some(now);
            edge(Edge::End);
        }
        let more = ended.is_none() && sent < count;
        if more {
            schedule.fill(now, &mut due, free.len().min(usize::try_from(count - sent).unwrap_or(usize::MAX)));
            while sent < count
                && !due.is_empty()
                && let Some(index) = free.pop()
                && let Some(since) = due.pop_front()
            {
                let connection = &mut connections[index];
                requests.write(&mut connection.out);
                connection.send(since)?;
                (sent, in_flight) = (sent + 1, in_flight + 1);
            }
        } else if in_flight == 0 {
            break;
        }
        if let Some(next) = schedule.next().filter(|_| more && due.is_empty()) {
            let wait = next.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            timer.set(Expiration::OneShot(TimeSpec::from_duration(wait)), TimerSetTimeFlags::empty())?;
        }
        poll.poll(&mut events, Some(PATIENCE))?;
        if events.is_empty() && in_flight > 0 {
            bail!("no answer within {PATIENCE:?}; {in_flight} in flight");
        }
        for event in &events {
            if event.token() == TIMER {
                // Only its edge matters: the next setting arms it again.
                continue;
            }
            let Token(index) = event.token();
            if let Some(since) = connections[index].proceed(plan.expect)? {
                let now = Instant::now();
                if counting.is_some() && ended.is_none() {
                    answers += 1;
                    latency.record(u64::try_from((now - since).as_nanos())?)?;
                }
                in_flight -= 1;
                free.push(index);
            }
        }
    }
    let ended = ended.unwrap_or_else(|| {
        let now = Instant::now();
        edge(Edge::End);
        now
    });
    Ok(Load { latency, answers, time: ended - counting.unwrap_or(began) })
}

/// When deliveries are due.
struct Schedule {
    /// None where they are due as soon as somebody is free to send them.
    rate: Option<f64>,
    next: Instant,
    random: fastrand::Rng,
}

impl Schedule {
    fn new(pace: Pace, began: Instant) -> Self {
        let rate = if let Pace::Open(rate) = pace { Some(rate) } else { None };
        // The same times for whoever is measured.
        Self { rate, next: began, random: fastrand::Rng::with_seed(7) }
    }

    fn next(&self) -> Option<Instant> {
        self.rate.map(|_| self.next)
    }

    fn fill(&mut self, now: Instant, due: &mut VecDeque<Instant>, free: usize) {
        match self.rate {
            None => due.extend(std::iter::repeat_n(now, free.saturating_sub(due.len()))),
            Some(rate) => {
                while self.next <= now {
                    due.push_back(self.next);
                    let pause = -(1.0 - self.random.f64()).ln() / rate;
                    self.next += Duration::from_secs_f64(pause);
                }
            }
        }
    }
}
