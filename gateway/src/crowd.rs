//! Places for connections. A connection costs its opener nothing, and strangers could take all places and keep them: so
//! when one more comes than there is room for, somebody makes way for it.
//!
//! First those make way on whose connections no secret has ever been right, busy or not: being refused is no work. Those
//! who have held one follow only where strangers have few places, so that no number of strangers can push them out.
//!
//! There is no limit for each peer: behind a load balancer all connections come from one address.

pub(crate) mod streams;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use self::streams::{Strangers, Streams, victims};
use crate::activity::Activity;

/// Who came less ago and has no answer yet is not asked to leave, nor who has held a secret and was idle for less: a head
/// that has been sent may still be on its way.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is looked for somebody who may be asked to leave, or is to end: no more, or a flood would cost a look through
/// all connections for each newcomer, and for each request.
const LOOK: Duration = Duration::from_millis(5);
/// Each makes way for this share of them.
const SHARE: usize = 64;
/// The same of strangers, who lose nothing: the more go at a time, the less a newcomer waits behind others in the backlog.
const STRANGERS_SHARE: usize = 16;
/// Where strangers have this share of all places, a newcomer waits for one of theirs. The rest cannot be taken from
/// those who have held a secret.
const STRANGERS_PLACES: usize = 4;

/// All connections.
pub(crate) struct Crowd {
    limit: usize,
    places: Arc<Semaphore>,
    members: Mutex<HashMap<u64, Arc<Activity>>>,
    /// When it was last looked for those who can leave, and for those who have too much open.
    looked: Mutex<Option<Instant>>,
    looked_for_streams: Mutex<Option<Instant>>,
    next: AtomicU64,
    strangers: Arc<Strangers>,
}

/// One connection's place, and what it is at.
pub(crate) struct Member {
    id: u64,
    crowd: Arc<Crowd>,
    pub(crate) activity: Arc<Activity>,
    _place: OwnedSemaphorePermit,
}

impl Crowd {
    /// Room for `limit` connections, and for `streams` that strangers have open over HTTP/2.
    pub(crate) fn new(limit: usize, streams: usize) -> Arc<Self> {
        let (places, strangers) = (Arc::new(Semaphore::new(limit)), Strangers::new(streams));
        let (members, looked, looked_for_streams) = Default::default();
        Arc::new(Self { limit, places, members, looked, looked_for_streams, next: AtomicU64::new(0), strangers })
    }

    /// A place as soon as there is one.
    pub(crate) async fn join(self: &Arc<Self>) -> Member {
        let mut place = Arc::clone(&self.places).try_acquire_owned().ok();
        while place.is_none() {
            if is_due(&self.looked) {
                self.make_way();
            }
            place = timeout(LOOK, Arc::clone(&self.places).acquire_owned()).await.ok().and_then(Result::ok);
        }
        let place = place.expect("the loop ends with one");
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let activity = Activity::new(Streams::new(Arc::clone(&self.strangers)));
        self.members().insert(id, Arc::clone(&activity));
        Member { id, crowd: Arc::clone(self), activity, _place: place }
    }

    /// Asks strangers to leave, those idle the longest before others; or else those who have held a secret and have been
    /// idle the longest. None where as many are about to.
    fn make_way(&self) {
        let (mut strangers, mut leaving) = (0, 0);
        let (mut dispensable, mut idle) = (Vec::new(), Vec::new());
        for member in self.members().values() {
            let authenticated = member.authenticated();
            strangers += usize::from(!authenticated);
            match member.idle() {
                Some(_) if member.leave.is_cancelled() => leaving += 1,
                // A stranger goes even while it is refused once more. One in flight is not idle: it has no time.
                _ if !authenticated && member.leave.is_cancelled() => leaving += 1,
                time if !authenticated && member.unanswered().is_none_or(|time| time >= GRACE) => {
                    dispensable.push((time.unwrap_or_default(), Arc::clone(member)));
                }
                Some(time) if authenticated && time >= GRACE => idle.push((time, Arc::clone(member))),
                Some(_) | None => {}
            }
        }
        let mut share = STRANGERS_SHARE;
        if dispensable.is_empty() && strangers < self.limit.div_ceil(STRANGERS_PLACES) {
            (dispensable, share) = (idle, SHARE);
        }
        let count = self.limit.div_ceil(share).saturating_sub(leaving).min(dispensable.len());
        if count > 0 {
            dispensable.select_nth_unstable_by(count - 1, |(one, _), (other, _)| other.cmp(one));
            dispensable[..count].iter().for_each(|(_, member)| member.leave.cancel());
        }
    }

    /// Ends connections of strangers, of those first who have the most requests open over HTTP/2, until so many of these
    /// have ended; fewer where some are ending.
    fn make_room(&self, mut enough: usize) {
        let mut candidates = Vec::new();
        for member in self.members().values() {
            match member.streams.counted() {
                0 => {}
                open if member.evicted.is_cancelled() => enough = enough.saturating_sub(open),
                open => candidates.push((open, Arc::clone(member))),
            }
        }
        victims(candidates, enough).for_each(|member| member.evicted.cancel());
    }

    fn members(&self) -> MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        // Never left half changed.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// A stranger's request is refused for the many that strangers have open. Sees to it that there are fewer.
    pub(crate) fn refuse(&self) {
        if is_due(&self.crowd.looked_for_streams) {
            self.crowd.make_room(self.crowd.strangers.excess());
        }
    }
}

/// Whether it is time for another look, which is made then.
fn is_due(looked: &Mutex<Option<Instant>>) -> bool {
    let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
    let due = looked.is_none_or(|looked| looked.elapsed() >= LOOK);
    if due {
        *looked = Some(Instant::now());
    }
    due
}

impl Drop for Member {
    fn drop(&mut self) {
        self.crowd.members().remove(&self.id);
    }
}
