//! What a fault excuses, at which gateway and playbook, and until when.
//!
//! ```text
//!   begun ───────────▶ going on ───────────▶ over ───────────▶ closed
//!          the book               its end,          a canary at this gateway
//!          has a note             or at once        finds nothing amiss
//! ```
//!
//! So an excuse lasts no longer than its effect is seen to. And where the effect lasts although nothing has been done for
//! long that could bring it about, it is no excuse but a violation.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use drill::{Book, Event};
use local::{Role, Server};

use super::{Catalog, Fail, Fault, Redis};

/// By when a gateway must check keys again: 4 s until a connection that swallows all is given up where nobody sends, up to
/// 5 s for which Redis is left alone, 1 s to connect; and as much again for a machine that is busy.
const CHECKS: Duration = Duration::from_secs(20);
/// By when it must know the catalog: 3 s until it has no answer to a heartbeat, 4 s to connect, 2 s to listen; and as much
/// again.
const KNOWS: Duration = Duration::from_secs(18);
/// The same where it may be reading the catalog when all is swallowed: a large one is waited for.
const READS: Duration = Duration::from_secs(30);

/// All that was done, and the notes that are not closed.
pub(super) struct Excuses {
    gateways: usize,
    places: usize,
    done: Mutex<Vec<Done>>,
    open: Mutex<Vec<Open>>,
}

struct Done {
    fault: Fault,
    over: Option<Instant>,
}

/// A note of the book that is not closed.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) note: usize,
    pub(super) event: Event,
    fault: Fault,
    is_over: bool,
}

impl Excuses {
    pub(super) fn new(gateways: usize, places: usize) -> Self {
        Self { gateways, places, done: Mutex::default(), open: Mutex::default() }
    }

    /// A fault is about to begin, or the end of one that changes as much as its beginning did.
    pub(super) fn begin(&self, book: &Book, fault: &Fault) {
        self.done().push(Done { fault: fault.clone(), over: None });
        let open = |event| Open { note: book.note(event), event, fault: fault.clone(), is_over: false };
        self.open().extend(fault.excuses(self.gateways, self.places).into_iter().map(open));
    }

    /// It has ended, or was over at once: from here on a canary can tell.
    pub(super) fn end(&self, fault: &Fault, now: Instant) {
        let mut done = self.done();
        done.iter_mut().filter(|done| done.fault == *fault).for_each(|done| _ = done.over.get_or_insert(now));
        self.open().iter_mut().filter(|open| open.fault == *fault).for_each(|open| open.is_over = true);
    }

    /// What canaries can be asked about.
    pub(super) fn over(&self) -> Vec<Open> {
        self.open().iter().filter(|open| open.is_over).cloned().collect()
    }

    /// Whether no note is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open().is_empty()
    }

    /// These are found to be no longer so.
    pub(super) fn close(&self, book: &Book, found: &[Open]) {
        found.iter().for_each(|open| book.over(open.note));
        self.open().retain(|open| !found.iter().any(|closed| closed.note == open.note));
    }

    /// For how long it has been no excuse any more that this is so; none while it is one.
    pub(super) fn overdue(&self, event: Event, now: Instant) -> Option<Duration> {
        let done = self.done();
        let mut causes = done.iter().filter(|done| done.fault.brings_about(event));
        let overdue = causes.try_fold(None, |least: Option<Duration>, done| {
            let settled = done.over? + done.fault.settles_within(event);
            let overdue = now.checked_duration_since(settled)?;
            Some(Some(least.map_or(overdue, |least| least.min(overdue))))
        });
        overdue.flatten()
    }

    fn done(&self) -> MutexGuard<'_, Vec<Done>> {
        self.done.lock().expect("not poisoned")
    }

    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().expect("not poisoned")
    }
}

impl Fault {
    /// What the book must know of it.
    fn excuses(&self, gateways: usize, places: usize) -> Vec<Event> {
        let catalog = matches!(self, Self::Catalog(_));
        let all = (0..gateways).flat_map(|gateway| {
            let places = (0..places).map(move |place| Event::Catalog { gateway, place }).filter(move |_| catalog);
            places.chain([Event::Unchecked { gateway }])
        });
        all.filter(|event| self.brings_about(*event)).collect()
    }

    /// Whether this can come of it, or last because of it.
    fn brings_about(&self, event: Event) -> bool {
        let (gateway, server, name) = match event {
            Event::Unchecked { gateway } => (gateway, Server::Redis, "redis"),
            Event::Catalog { gateway, .. } => (gateway, Server::Postgres, "postgres"),
            Event::Forgot | Event::StreamLost => return false,
        };
        match (self, event) {
            (Self::Kill(process) | Self::Freeze(process) | Self::Stop(process), _) => {
                process == name || *process == format!("gateway-{}", gateway + 1)
            }
            (Self::Wire(Role::Gateway, other, _), _) => *other == server,
            (Self::Redis(Redis::Full | Redis::ReadOnly), Event::Unchecked { .. }) => true,
            (Self::Terminate | Self::Catalog(Catalog::KillSwitch), Event::Catalog { .. }) => true,
            (
                Self::Catalog(Catalog::Disable(closed) | Catalog::Rename(closed) | Catalog::Rotate(closed)),
                Event::Catalog { place, .. },
            ) => *closed == place,
            _ => false,
        }
    }

    /// How long that may last after it.
    fn settles_within(&self, event: Event) -> Duration {
        match (event, self) {
            (Event::Catalog { .. }, Self::Wire(_, _, Fail::BlackHole)) => READS + KNOWS,
            (Event::Catalog { .. }, _) => KNOWS,
            _ => CHECKS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNCHECKED: [Event; 2] = [Event::Unchecked { gateway: 0 }, Event::Unchecked { gateway: 1 }];

    #[test]
    fn a_fault_excuses_what_it_touches_and_no_more() {
        let excuses = |fault: Fault| fault.excuses(2, 4);
        for fault in [Fault::Kill, Fault::Freeze, Fault::Stop] {
            assert_eq!(excuses(fault("redis".to_owned())), UNCHECKED);
            assert_eq!(excuses(fault("gateway-2".to_owned())), UNCHECKED[1..]);
            for process in ["nats", "postgres", "worker-1", "worker-2"] {
                assert_eq!(excuses(fault(process.to_owned())), []);
            }
        }
        for redis in [Redis::Full, Redis::ReadOnly] {
            assert_eq!(excuses(Fault::Redis(redis)), UNCHECKED);
        }
        assert_eq!(excuses(Fault::Wire(Role::Gateway, Server::Redis, Fail::Cut)), UNCHECKED);
        for fault in
            [Fault::Redis(Redis::Flush), Fault::DeleteStream, Fault::LockRuns, Fault::NoWrites, Fault::Terminate]
        {
            assert_eq!(excuses(fault), []);
        }
        for wire in [(Role::Gateway, Server::Nats), (Role::Gateway, Server::Postgres), (Role::Worker, Server::Nats)] {
            assert_eq!(excuses(Fault::Wire(wire.0, wire.1, Fail::Hold)), []);
        }
        let at = |place| [0, 1].map(|gateway| Event::Catalog { gateway, place });
        for catalog in [Catalog::Disable(3), Catalog::Rename(3), Catalog::Rotate(3)] {
            assert_eq!(excuses(Fault::Catalog(catalog)), at(3));
        }
        assert_eq!(excuses(Fault::Catalog(Catalog::KillSwitch)).len(), 8);
    }

    #[test]
    fn an_excuse_lasts_until_a_canary_comes_back_and_no_effect_for_ever() {
        let (excuses, book, start) = (Excuses::new(2, 4), Book::default(), Instant::now());
        let (kill, hold) = (Fault::Kill("gateway-1".to_owned()), Fault::Wire(Role::Gateway, Server::Redis, Fail::Hold));
        let seconds = Duration::from_secs;
        let overdue = |now| UNCHECKED.map(|event| excuses.overdue(event, now));

        excuses.begin(&book, &kill);
        assert!(excuses.over().is_empty() && !excuses.is_empty());
        excuses.end(&kill, start);
        let over = excuses.over();
        assert_eq!(over.iter().map(|open| open.event).collect::<Vec<_>>(), UNCHECKED[..1]);
        assert_eq!(book.record().notes[0].to, None);
        assert_eq!(overdue(start + CHECKS - seconds(1)), [None, None]);
        assert_eq!(overdue(start + CHECKS + seconds(1)), [Some(seconds(1)), None]);
        let catalog = excuses.overdue(Event::Catalog { gateway: 0, place: 3 }, start + KNOWS + seconds(1));
        assert_eq!(catalog, Some(seconds(1)));

        // Not while anything else may be why, and for as long after that.
        excuses.begin(&book, &hold);
        assert_eq!(overdue(start + CHECKS + seconds(1)), [None, None]);
        excuses.end(&hold, start + seconds(100));
        assert_eq!(overdue(start + seconds(99) + CHECKS), [None, None]);
        assert_eq!(overdue(start + seconds(101) + CHECKS), [Some(seconds(1)); 2]);

        excuses.close(&book, &over);
        assert!(book.record().notes[0].to.is_some() && book.record().notes[1].to.is_none());
        assert_eq!(excuses.over().iter().map(|open| open.event).collect::<Vec<_>>(), UNCHECKED);
        excuses.close(&book, &excuses.over());
        assert!(excuses.is_empty() && book.record().notes.iter().all(|note| note.to.is_some()));
    }
}
