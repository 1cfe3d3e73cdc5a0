//! Messages that stay in the stream and that the consumer will never give out.
//!
//! nats-server 2.9.10 comes back from a SIGKILL with such: the consumer's state was on disk, the removal of what it had
//! acked was not, so that it takes for acked what is still there. They would stay for ever; and should one not have been
//! acked after all, it would be lost (I3). Mostly they are at or below the ack floor, where in a work queue nothing may be.
//! Not always: the same server never lets go of a pending message that is gone from the stream, and then its floor stays
//! below all that it has forgotten. What is left is time: a message that it gave out comes again after the ack wait.

use std::time::Duration;

use tokio::time::Instant;

/// How many looks in a row must find the first message at or below the ack floor. The broker moves its two counts one
/// after the other, and the replicas of a cluster not at once.
const LOOKS: u32 = 3;
/// Beyond two ack waits: for a restarted broker to begin to count.
const GRACE: Duration = Duration::from_secs(10);
/// Longest time after which the same message is taken for forgotten again. It may have reasons of its own to stay, such as
/// an envelope that needs newer workers.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a look at the broker finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Look {
    /// First sequence in the stream; none where that is empty.
    pub(crate) first: Option<u64>,
    /// The consumer, if it could be asked.
    pub(crate) consumer: Option<Cursor>,
    /// Whether messages can be settled at all.
    pub(crate) usable: bool,
}

/// Where the consumer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cursor {
    /// When it was made, in nanoseconds since 1970: tells it from its successor.
    pub(crate) created: i128,
    /// Up to which sequence it takes everything for acked.
    pub(crate) ack_floor: u64,
    /// Up to which sequence it has given out everything.
    pub(crate) delivered: u64,
}

/// What was seen of the first message in the stream.
pub(crate) struct Forgotten {
    ack_wait: Duration,
    seen: Option<Seen>,
}

struct Seen {
    first: u64,
    created: i128,
    /// Since when it has been first, given out, and not in this consumer's way by anything known.
    since: Instant,
    /// Looks in a row that found it at or below the ack floor.
    below: u32,
    /// How long it may stay.
    patience: Duration,
}

impl Forgotten {
    pub(crate) fn new(ack_wait: Duration) -> Self {
        Self { ack_wait, seen: None }
    }

    /// True where the consumer must be made anew to have the first message given out. That is safe whenever it happens:
    /// what is in hand comes again, and is a duplicate then.
    pub(crate) fn saw(&mut self, look: Look, now: Instant) -> bool {
        let Look { first, consumer: Some(consumer), usable } = look else {
            // Nothing was learnt, but for the count of looks in a row.
            if let Some(seen) = &mut self.seen {
                seen.below = 0;
            }
            return false;
        };
        let Some(first) = first.filter(|first| *first <= consumer.delivered) else {
            self.seen = None;
            return false;
        };
        let patience = self.ack_wait * 2 + GRACE;
        let seen = match &mut self.seen {
            Some(seen) if seen.first == first => seen,
            seen => seen.insert(Seen { first, created: consumer.created, since: now, below: 0, patience }),
        };
        if seen.created != consumer.created {
            // Whoever made it anew, its time begins anew; and if that does not help, neither will doing it often.
            let patience = (seen.patience * 2).min(LONGEST);
            *seen = Seen { first, created: consumer.created, since: now, below: 0, patience };
        }
        if !usable {
            // It is in somebody's hand for as long as that lasts.
            seen.since = now;
        }
        seen.below = if first <= consumer.ack_floor { seen.below + 1 } else { 0 };
        seen.below >= LOOKS || now.duration_since(seen.since) >= seen.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK_WAIT: Duration = Duration::from_secs(30);

    fn look(first: u64, ack_floor: u64, delivered: u64) -> Look {
        Look { first: Some(first), consumer: Some(Cursor { created: 1, ack_floor, delivered }), usable: true }
    }

    /// What is said of these looks, two seconds apart.
    fn saw(looks: &[Look]) -> Vec<bool> {
        let (mut forgotten, now) = (Forgotten::new(ACK_WAIT), Instant::now());
        let at = |index: usize| now + Duration::from_secs(2) * u32::try_from(index).expect("few");
        looks.iter().enumerate().map(|(index, look)| forgotten.saw(*look, at(index))).collect()
    }

    #[test]
    fn what_stays_at_or_below_the_floor_is_forgotten() {
        assert_eq!(saw(&[look(5, 9, 9); 3]), [false, false, true]);
        assert_eq!(saw(&[look(5, 5, 9), look(5, 7, 9), look(5, 9, 9)]), [false, false, true]);
        // On its way out; no answer in between.
        assert_eq!(saw(&[look(5, 9, 9), look(6, 9, 9), look(7, 9, 9)]), [false; 3]);
        let silent = Look { consumer: None, ..look(5, 9, 9) };
        assert_eq!(saw(&[look(5, 9, 9), silent, look(5, 9, 9), look(5, 9, 9)]), [false; 4]);
        // An empty stream.
        assert_eq!(saw(&[Look { first: None, ..look(5, 9, 9) }; 4]), [false; 4]);
    }

    /// 70 seconds at an ack wait of 30: the 36th look.
    #[test]
    fn what_was_given_out_and_does_not_come_again_is_forgotten() {
        let stays = saw(&[look(5, 3, 9); 36]);
        assert_eq!(stays.iter().position(|forgotten| *forgotten), Some(35));
        // Never given out: it waits for its turn. Given out and settled: another is first.
        assert!(!saw(&[look(5, 3, 4); 100]).contains(&true));
        let moves: Vec<_> = (0..100).map(|index| look(5 + index / 30, 3, 9)).collect();
        assert!(!saw(&moves).contains(&true));
    }

    #[test]
    fn an_outage_of_postgres_takes_as_long_as_it_takes() {
        let stuck = Look { usable: false, ..look(5, 3, 9) };
        let looks: Vec<_> = std::iter::repeat_n(stuck, 100).chain(std::iter::repeat_n(look(5, 3, 9), 36)).collect();
        assert_eq!(saw(&looks).iter().position(|forgotten| *forgotten), Some(134));
    }

    #[test]
    fn what_stays_all_the_same_is_tried_less_and_less_often() {
        let next = Look { consumer: Some(Cursor { created: 2, ack_floor: 3, delivered: 9 }), ..look(5, 3, 9) };
        let looks: Vec<_> = std::iter::repeat_n(look(5, 3, 9), 36).chain(std::iter::repeat_n(next, 71)).collect();
        let found: Vec<_> = saw(&looks).iter().enumerate().filter(|(_, yes)| **yes).map(|(index, _)| index).collect();
        assert_eq!(found, [35, 36 + 70]);
    }
}
