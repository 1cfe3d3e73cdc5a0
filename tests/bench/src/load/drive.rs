//! The loop of the load: sends what is due, takes what has been answered.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use super::connection::Connection;
use super::timer::Timer;
use super::{Edge, Load, Pace, Plan, Requests, Until};

/// Longest silence of a server.
const PATIENCE: Duration = Duration::from_secs(30);
const TIMER: Token = Token(usize::MAX);

/// Sends until the plan is done and everything that was due is answered. `edge` is called as what counts begins and ends; what
/// time it takes is the load's.
///
/// # Errors
/// An answer with another status than expected, or none.
pub(crate) fn drive(plan: &Plan<'_>, requests: &mut Requests, mut edge: impl FnMut(Edge)) -> Result<Load> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut connections = (0..plan.connections)
        .map(|index| {
            Connection::open(plan.servers[index % plan.servers.len()], poll.registry(), Token(index), requests.lines())
        })
        .collect::<Result<Vec<_>>>()?;
    let timer = Timer::new(poll.registry(), TIMER)?;

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
    let mut heard = began;
    loop {
        let now = Instant::now();
        if counting.is_none() && now >= from {
            edge(Edge::Begin);
            counting = Some(now);
        }
        if ended.is_none() {
            let until = to.map_or(now, |to| to.min(now));
            let most = usize::try_from(count - sent).unwrap_or(usize::MAX);
            schedule.fill(until, &mut due, free.len().min(most));
            if to.is_some_and(|to| now >= to) {
                edge(Edge::End);
                ended = Some(now);
                if schedule.next().is_none() {
                    due.clear();
                }
            }
        }
        // What was due in time is sent also after it: whoever is behind has that to answer for.
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
        if in_flight == 0 && (ended.is_some() || sent == count) {
            break;
        }
        let next = schedule.next().filter(|_| ended.is_none() && due.is_empty());
        let wait = match next {
            Some(next) => timer.wake_in(next.saturating_duration_since(Instant::now()), PATIENCE)?,
            None => PATIENCE,
        };
        match poll.poll(&mut events, Some(wait)) {
            // By whoever looks on with a debugger or a tracer.
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            polled => polled?,
        }
        let now = Instant::now();
        if in_flight > 0 && now - heard > PATIENCE {
            bail!("no answer within {PATIENCE:?}; {in_flight} in flight");
        }
        for event in &events {
            let Token(index) = event.token();
            if event.token() == TIMER {
                continue;
            }
            if let Some(since) = connections[index].proceed(plan.expect)? {
                heard = Instant::now();
                if since >= from && to.is_none_or(|to| since < to) {
                    latency.record(u64::try_from((heard - since).as_nanos())?)?;
                }
                answers += u64::from(counting.is_some() && ended.is_none());
                in_flight -= 1;
                free.push(index);
            }
        }
        if in_flight == 0 {
            heard = now;
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

    /// Adds what has become due, where that is a matter of time; or fills those up that are free.
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
