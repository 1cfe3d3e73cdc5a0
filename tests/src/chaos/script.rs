//! The list of what is done, and before which delivery.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use drill::Act;
use fastrand::Rng;

use super::{Fault, Size};

/// Most milliseconds for which a fault is kept up where its deliveries are over sooner: longer than Redis is waited for,
/// shorter than the queue is, so that both sides of each time-out are seen.
const LONGEST: u64 = 1500;
/// How often another fault is drawn where one does not fit.
const DRAWS: usize = 100;

/// One line of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// A fault begins; or happens, where it does not last.
    Begin(Fault),
    /// It ends, after it has lasted this long at least: deliveries may be quicker than anybody notices a fault.
    End(Fault, Duration),
}

/// The list.
#[derive(Clone, Debug)]
pub struct Script {
    /// In the order in which they are done.
    pub acts: Vec<Act<Op>>,
}

impl Script {
    /// The list of this seed, and what is left to be drawn from it.
    pub fn of(seed: u64, size: Size) -> (Rng, Self) {
        let mut rng = Rng::with_seed(seed);
        let script = Self::draw(&mut rng, size);
        (rng, script)
    }

    /// What is done, by kind.
    pub fn faults(&self) -> BTreeMap<String, usize> {
        let mut faults = BTreeMap::new();
        for act in &self.acts {
            if let Op::Begin(fault) = &act.what {
                *faults.entry(fault.kind()).or_default() += 1;
            }
        }
        faults
    }

    /// Draws one. Faults overlap freely, but for two on the same thing; and a short one has no room for the same twice.
    fn draw(rng: &mut Rng, size: Size) -> Self {
        // What a stream held is demanded of it only in rounds that do not delete it.
        let may_lose_stream = rng.u8(..3) == 0;
        let mut busy: HashMap<String, usize> = HashMap::new();
        let (mut acts, mut kinds) = (vec![], HashSet::new());
        for nth in 1..=size.faults {
            let at = size.deliveries * nth / (size.faults + 1);
            let is_free = |fault: &Fault| busy.get(&fault.occupies()).is_none_or(|until| *until < at);
            let drawn = (0..DRAWS).map(|_| Fault::draw(rng, size.long, may_lose_stream));
            let mut drawn = drawn.filter(|fault| is_free(fault) && (size.long || !kinds.contains(&fault.kind())));
            let Some(fault) = drawn.next() else { continue };
            kinds.insert(fault.kind());
            let length = if fault.lasts() { rng.usize(10..size.deliveries / 8) / share(&fault, size) } else { 0 };
            let until = at + length;
            busy.insert(fault.occupies(), until);
            if fault.lasts() {
                let lasted = Duration::from_millis(rng.u64(20..LONGEST));
                acts.push(Act { at: until, what: Op::End(fault.clone(), lasted) });
            }
            acts.push(Act { at, what: Op::Begin(fault) });
        }
        // Stable: what is at one count stays in its order.
        acts.sort_by_key(|act| act.at);
        Self { acts }
    }
}

/// What keeps Redis from being asked is over sooner in a long round, or for half of it no key would be checked, and nobody
/// be refused.
fn share(fault: &Fault, size: Size) -> usize {
    if size.long && fault.is_to_redis() { 4 } else { 1 }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(fault) => fault.fmt(f),
            Self::End(fault, lasted) => write!(f, "end of: {fault} (not before {lasted:?})"),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acts.iter().try_for_each(|act| writeln!(f, "  {:>6}  {}", act.at, act.what))
    }
}
