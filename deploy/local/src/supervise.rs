//! The task that keeps one process alive.
//!
//! ```text
//!             start                    death, wanted
//!  Stopped ───────────▶ Running ───────────────────────▶ Waiting
//!     ▲                  │   ▲                              │ │
//!     │ death, unwanted  │   └──────────────────────────────┘ │
//!     └──────────────────┘          time is up, or start      │
//!     └───────────────────────────────────────────────────────┘
//!                                stop
//! ```

use std::{
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    process::Child,
    sync::{broadcast, mpsc, oneshot, watch},
    time::sleep_until,
};

use crate::{
    home::Home,
    process::{Event, Spec, State},
};

/// A process that lived at least this long is started again at once when it dies.
const LONG: Duration = Duration::from_secs(1);
/// The longest pause before one that keeps dying is started again.
const PAUSE: Duration = Duration::from_millis(800);

/// What others see of the process.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) state: State,
    pub(crate) pid: Option<u32>,
    /// Starts after a death.
    pub(crate) restarts: u32,
    /// Deaths and stops, so that who waits for one can tell it from the one before.
    pub(crate) ends: u32,
    pub(crate) last: Option<ExitStatus>,
}

pub(crate) enum Order {
    /// Run, and keep running.
    Start,
    /// Leave for good, by this signal.
    Stop(Signal),
    /// Just this signal. Where it is SIGKILL, the death is not counted as one more of a process that keeps dying.
    Signal(Signal),
}

/// Where orders go. The second half is told the pid that the order met, once it is obeyed.
pub(crate) type Orders = mpsc::UnboundedSender<(Order, oneshot::Sender<Option<u32>>)>;

pub(crate) struct Supervisor {
    pub(crate) spec: Arc<Spec>,
    pub(crate) home: Arc<Home>,
    /// Whether one that dies is started again.
    pub(crate) restart: bool,
    pub(crate) seen: watch::Sender<Seen>,
    pub(crate) events: broadcast::Sender<Event>,
    /// Closed once the reaper is done.
    pub(crate) reaped: watch::Receiver<()>,
}

enum Now {
    Stopped,
    Running { child: Child, since: Instant },
    Waiting { until: Instant },
}

impl Seen {
    pub(crate) fn stopped() -> Seen {
        Seen { state: State::Stopped, pid: None, restarts: 0, ends: 0, last: None }
    }
}

impl Supervisor {
    /// Runs until the sender of the orders is gone; the process is then left to the reaper, and only waited for.
    pub(crate) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<(Order, oneshot::Sender<Option<u32>>)>) {
        let mut now = Now::Stopped;
        let mut wanted = false;
        let mut forgiven = false;
        let mut quick_deaths = 0;
        loop {
            let order = match &mut now {
                Now::Stopped => orders.recv().await,
                Now::Waiting { until } => tokio::select! {
                    order = orders.recv() => order,
                    () = sleep_until((*until).into()) => {
                        now = self.start(true, &mut quick_deaths);
                        continue;
                    }
                },
                Now::Running { child, since } => {
                    let pid = child.id();
                    tokio::select! {
                        order = orders.recv() => {
                            if order.is_none() {
                                self.leave(child).await;
                            }
                            order
                        }
                        status = child.wait() => {
                            // The kernel may give the pid to another from here on.
                            pid.inspect(|pid| self.home.forget(*pid));
                            if since.elapsed() >= LONG || forgiven {
                                quick_deaths = 0;
                            }
                            forgiven = false;
                            now = self.ended(status.ok(), wanted, &mut quick_deaths);
                            continue;
                        }
                    }
                }
            };
            let Some((order, done)) = order else { return };
            // Until `wait` has returned, the pid is still the child's, even where it is dead.
            let child = if let Now::Running { child, .. } = &now { child.id() } else { None };
            match (order, child) {
                (Order::Start, child) => {
                    wanted = true;
                    if child.is_none() {
                        quick_deaths = 0;
                        now = self.start(false, &mut quick_deaths);
                    }
                }
                (Order::Stop(signal), Some(pid)) => {
                    wanted = false;
                    send(pid, signal);
                }
                (Order::Stop(_), None) => {
                    wanted = false;
                    now = Now::Stopped;
                    self.seen.send_modify(|seen| seen.state = State::Stopped);
                }
                (Order::Signal(signal), Some(pid)) => {
                    forgiven = signal == Signal::SIGKILL;
                    send(pid, signal);
                }
                (Order::Signal(_), None) => {}
            }
            // Who gave the order may have gone away.
            let _ = done.send(child);
        }
    }

    /// Collects the child, which is the reaper's to end.
    async fn leave(&mut self, child: &mut Child) {
        tokio::select! {
            biased;
            _ = child.wait() => {}
            // Somebody has removed the private directory, and with it the reaper's records.
            _ = self.reaped.changed() => drop(child.kill().await),
        }
    }

    fn start(&self, again: bool, quick_deaths: &mut u32) -> Now {
        let Ok(child) = self.spec.spawn(&self.home) else { return self.ended(None, true, quick_deaths) };
        let pid = child.id();
        self.seen.send_modify(|seen| {
            seen.state = State::Running;
            seen.pid = pid;
            seen.restarts += u32::from(again);
        });
        if again {
            // A child that was just started and not waited for has a pid.
            self.tell(Event::Started { name: self.spec.name.clone(), pid: pid.unwrap_or_default() });
        }
        Now::Running { child, since: Instant::now() }
    }

    fn ended(&self, status: Option<ExitStatus>, wanted: bool, quick_deaths: &mut u32) -> Now {
        let name = self.spec.name.clone();
        let pause = (wanted && self.restart).then(|| pause(*quick_deaths));
        *quick_deaths += 1;
        self.seen.send_modify(|seen| {
            seen.state = if pause.is_some() { State::Restarting } else { State::Stopped };
            seen.pid = None;
            seen.ends += 1;
            seen.last = status;
        });
        self.tell(if wanted {
            Event::Died { name, status, again_in: pause.map(|pause| pause.as_millis() as u64) }
        } else {
            Event::Stopped { name }
        });
        pause.map_or(Now::Stopped, |pause| Now::Waiting { until: Instant::now() + pause })
    }

    fn tell(&self, event: Event) {
        // Nobody need listen.
        let _ = self.events.send(event);
    }
}

/// None the first time, then 100 ms, and twice as long each time. The shift is bounded, so it cannot overflow.
fn pause(quick_deaths: u32) -> Duration {
    match quick_deaths {
        0 => Duration::ZERO,
        n => PAUSE.min(Duration::from_millis(100 << (n - 1).min(10))),
    }
}

fn send(pid: u32, signal: Signal) {
    // A pid fits in an i32 on every Unix. It fails only where the child is dead already.
    let _ = nix::sys::signal::kill(Pid::from_raw(pid as i32), signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_keeps_dying_waits_and_never_for_long() {
        let pauses: Vec<_> = (0..9).map(|n| pause(n).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 800, 800, 800, 800]);
        assert_eq!(pause(u32::MAX), PAUSE);
    }
}
