//! The workers: pull → statement 1 → statement 2 → COMMIT → ack.
//!
//! ```text
//!          Pull           Insert                     LookUp           Commit              Ack
//!  (idle) ──────▶ Pulled ─────────▶ Inserted ───────────────▶ Decided ───────▶ Committed ─────▶ (idle)
//!                   │   ▲             ▲
//!            a rival's row is not     │ the rival has committed, or is gone
//!            committed yet ▼──────────┘
//!                       Blocked
//! ```
//!
//! Who inserts shares a lock from the beginning of the transaction. Who finds that a target has gone takes all back, begins
//! again when nobody else is in a transaction, and keeps others from beginning one: the delivery may be in another message too,
//! for a target that is there.
//!
//! A transaction runs READ COMMITTED: each statement sees what was committed when it began, and its own rows.
//! `ON CONFLICT DO NOTHING` waits for a rival that holds the same key uncommitted; if that commits, it gives way to a
//! row that it cannot see. A batch is one message: more of them in a transaction would only be more deliveries in it,
//! and an ack that is not reached is one that was lost.

use crate::delivery::{Delivery, RunId};
use crate::mutants::Mutation;
use crate::postgres::Postgres;
use crate::protocol::Protocol;
use crate::queue::{Item, Message, Sequence};
use crate::state::State;
use crate::step::Step;

/// Which deliveries of a message, by position.
pub type Positions = [bool; 2];

/// How far a message has got.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// In hand; no transaction yet.
    Pulled,
    /// Statement 1 waits for a rival's transaction.
    Blocked {
        /// Rows inserted so far.
        created: Positions,
        /// What could be a run when the statement began: it had its target, and was not buried.
        eligible: Positions,
    },
    /// Statement 1 is done: these rows are inserted, not committed. To the others it gave way.
    Inserted {
        /// Rows of this transaction.
        created: Positions,
        /// Rows that it gave way to without seeing them. Only a mutant asks.
        unseen: Positions,
    },
    /// Statement 2 has decided about the others, and dead letters are written; not committed.
    Decided {
        /// Rows of this transaction.
        created: Positions,
        /// Dead letters of this transaction.
        dead: Positions,
    },
    /// COMMIT was answered.
    Committed,
}

/// What a worker has in hand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Hand {
    /// How far it has got.
    pub stage: Stage,
    /// The content.
    pub message: Message,
    /// What its ack would settle: none where its stream was lost, as the consumer's name has the stream's epoch in it,
    /// or where it was settled by the other worker.
    pub place: Option<Sequence>,
    /// Its transaction, or its next one, has the lock to itself.
    pub alone: bool,
}

/// Idle, or with a message in hand.
pub type Worker = Option<Hand>;

impl Hand {
    /// Deliveries in the order of the insert, with their positions.
    fn items(&self) -> impl Iterator<Item = (usize, Item)> + use<> {
        let mut items = [Some((0, self.message.first)), self.message.second.map(|item| (1, item))];
        items.sort_by_key(|item| item.map(|(_, item)| item.run));
        items.into_iter().flatten()
    }

    /// Rows that its transaction has inserted, which has not ended yet.
    pub fn inserted(&self) -> impl Iterator<Item = Item> {
        let created = match self.stage {
            Stage::Blocked { created, .. } | Stage::Inserted { created, .. } | Stage::Decided { created, .. } => {
                created
            }
            Stage::Pulled | Stage::Committed => [false; 2],
        };
        self.message.items().zip(created).filter(|(_, created)| *created).map(|(item, _)| item)
    }

    /// True if its transaction has inserted a row with this key and not ended yet.
    pub fn holds(&self, run: RunId) -> bool {
        self.inserted().any(|item| item.run == run)
    }

    /// True if its transaction has begun and not ended yet.
    fn is_in_transaction(&self) -> bool {
        !matches!(self.stage, Stage::Pulled | Stage::Committed)
    }

    /// True if it has written a dead letter that is not committed yet.
    pub fn buries(&self) -> bool {
        matches!(self.stage, Stage::Decided { dead, .. } if dead != [false; 2])
    }

    /// True if the look-up will find neither run nor dead letter of what was not inserted, nor a reason: it must begin again.
    pub fn is_unsettled(&self, postgres: &Postgres) -> bool {
        let passed_over = match self.stage {
            Stage::Inserted { created, .. } => created.map(|created| !created),
            Stage::Blocked { eligible, .. } => eligible.map(|eligible| !eligible),
            Stage::Pulled | Stage::Decided { .. } | Stage::Committed => return false,
        };
        self.message.items().zip(passed_over).any(|(item, passed_over)| {
            passed_over
                && !postgres.is_gone(item.target)
                && postgres.run(item.run).is_none()
                && !self.holds(item.run)
                && postgres.dead_letters(item.delivery) == 0
        })
    }
}

impl Protocol {
    /// What brings messages nearer to being settled.
    pub fn workers_go_on(&self, state: &State, mut step: impl FnMut(Step)) {
        for (index, worker) in state.workers.iter().enumerate() {
            match worker {
                None => {
                    for (place, message) in state.queue.messages().filter(|(place, _)| !state.is_in_hand(*place)) {
                        step(Step::Pull(index, place, message));
                    }
                }
                Some(hand) => match hand.stage {
                    Stage::Pulled if !self.may_begin(state, index) => {}
                    Stage::Pulled => step(Step::Insert(index, *hand)),
                    Stage::Blocked { .. } if self.is_blocked(state, index) => {}
                    Stage::Blocked { .. } => step(Step::Insert(index, *hand)),
                    Stage::Inserted { .. } => step(Step::LookUp(index, *hand)),
                    Stage::Decided { .. } => step(Step::Commit(index, *hand)),
                    Stage::Committed => step(Step::Ack(index, *hand)),
                },
            }
        }
    }

    /// The lock is shared, or one has it alone.
    fn may_begin(&self, state: &State, worker: usize) -> bool {
        let alone = |hand: &Hand| hand.alone;
        let rival = state.workers[1 - worker].filter(Hand::is_in_transaction);
        rival.is_none_or(|rival| !alone(&rival) && !state.workers[worker].as_ref().is_some_and(alone))
    }

    /// What may happen to workers. A crash after COMMIT is also an ack that got lost.
    pub fn workers_may(&self, state: &State, mut step: impl FnMut(Step)) {
        for (index, worker) in state.workers.iter().enumerate() {
            match worker {
                None => {
                    for (place, message) in state.queue.messages().filter(|(place, _)| state.is_in_hand(*place)) {
                        step(Step::Redeliver(index, place, message));
                    }
                }
                Some(hand) => step(Step::CrashWorker(index, *hand)),
            }
        }
    }

    /// Takes a message; the broker keeps it.
    pub fn pull(&self, state: &mut State, worker: usize, place: Sequence, message: Message) {
        state.workers[worker] = Some(Hand { stage: Stage::Pulled, message, place: Some(place), alone: false });
    }

    /// Statement 1, as far as it gets. What was buried stays buried; it gives way to what has the key.
    pub fn insert(&self, state: &mut State, worker: usize) {
        let Some(mut hand) = state.workers[worker] else { return };
        let (mut created, eligible, waited) = match hand.stage {
            Stage::Blocked { created, eligible } => (created, eligible, true),
            _ => ([false; 2], self.eligible(state, &hand.message), false),
        };
        let mut unseen = [false; 2];
        for (position, item) in hand.items() {
            let own = hand.message.items().zip(created).any(|(other, created)| created && other.run == item.run);
            if own || !eligible[position] {
                continue;
            }
            if self.rival_holds(state, worker, item.run) {
                hand.stage = Stage::Blocked { created, eligible };
                state.workers[worker] = Some(hand);
                return;
            }
            if state.postgres.run(item.run).is_some() {
                // It was not there when the statement began, or nobody would have been waited for.
                unseen[position] = waited && self.mutation == Some(Mutation::FirstSnapshotDecides);
            } else {
                // Unless a foreign key is broken by now.
                created[position] = !state.postgres.is_gone(item.target);
            }
        }
        hand.stage = Stage::Inserted { created, unseen };
        state.workers[worker] = Some(hand);
    }

    fn eligible(&self, state: &State, message: &Message) -> Positions {
        let mut eligible = [false; 2];
        for (position, item) in message.items().enumerate() {
            let buried = state.postgres.dead_letters(item.delivery) > 0;
            eligible[position] = !state.postgres.is_gone(item.target)
                && (!buried || self.mutation == Some(Mutation::InsertRaisesTheDead));
        }
        eligible
    }

    fn is_blocked(&self, state: &State, worker: usize) -> bool {
        let rival = &state.workers[1 - worker];
        let hand = &state.workers[worker];
        hand.zip(*rival).is_some_and(|(hand, rival)| hand.message.items().any(|item| rival.holds(item.run)))
    }

    fn rival_holds(&self, state: &State, worker: usize, run: RunId) -> bool {
        state.workers[1 - worker].is_some_and(|rival| rival.holds(run))
    }

    /// Statement 2, which sees all that is committed by now, and the dead letters that it asks for.
    pub fn look_up(&self, state: &mut State, worker: usize) {
        let Some(mut hand) = state.workers[worker] else { return };
        let Stage::Inserted { created, unseen } = hand.stage else { return };
        if hand.is_unsettled(&state.postgres) {
            state.workers[worker] = Some(Hand { stage: Stage::Pulled, alone: false, ..hand });
            return;
        }
        let (mut dead, mut gone) = ([false; 2], false);
        for (position, item) in hand.items().filter(|(position, _)| !created[*position]) {
            let mut own =
                hand.message.items().zip(created).filter(|(other, created)| *created && other.run == item.run);
            let found = state.postgres.run(item.run).or_else(|| own.next().map(|(own, _)| own.delivery));
            let same = found.map(|found| self.is_same_run(found, item.delivery) && !unseen[position]);
            let buried = state.postgres.dead_letters(item.delivery) > 0 && !self.buries_again();
            match (same, buried) {
                // Duplicate; buried before.
                (Some(true), _) | (_, true) => {}
                // Conflict; target gone.
                (Some(false), false) => dead[position] = true,
                (None, false) => (dead[position], gone) = (true, true),
            }
        }
        if gone && !hand.alone && self.mutation != Some(Mutation::BuriesBesideInserts) {
            state.workers[worker] = Some(Hand { stage: Stage::Pulled, alone: true, ..hand });
            return;
        }
        if self.mutation == Some(Mutation::AckBeforeCommit) {
            self.settle(state, worker);
            hand.place = None;
        }
        hand.stage = Stage::Decided { created, dead };
        state.workers[worker] = Some(hand);
    }

    fn is_same_run(&self, found: Delivery, delivery: Delivery) -> bool {
        let fingerprint = |delivery| self.case.fingerprint(delivery, self.mutation);
        fingerprint(found) == fingerprint(delivery) || self.mutation == Some(Mutation::AnyRunIsDuplicate)
    }

    fn buries_again(&self) -> bool {
        matches!(self.mutation, Some(Mutation::DeadLetterDoesNotSettle | Mutation::DeadLetterIsNotUnique))
    }

    /// COMMIT: rows and dead letters are there, all at once. A dead letter that is there already is left as it is.
    pub fn commit(&self, state: &mut State, worker: usize) {
        let Some(mut hand) = state.workers[worker] else { return };
        let Stage::Decided { created, dead } = hand.stage else { return };
        let mut postgres = state.postgres;
        (hand.stage, hand.alone) = (Stage::Committed, false);
        for (position, item) in hand.items() {
            if created[position] {
                postgres.commit_run(item);
            }
            if !dead[position] {
                continue;
            }
            match (self.mutation, postgres.dead_letters(item.delivery)) {
                (_, 0) => postgres.commit_dead_letter(item.delivery),
                (Some(Mutation::DeadLetterIsNotUnique), 1) => postgres.commit_dead_letter(item.delivery),
                // A unique violation: the transaction fails, and is tried again.
                (Some(Mutation::DeadLetterDoesNotSettle), _) => {
                    hand.stage = Stage::Pulled;
                    state.workers[worker] = Some(hand);
                    return;
                }
                _ => {}
            }
        }
        state.postgres = postgres;
        state.workers[worker] = Some(hand);
    }

    /// The ack: the message leaves the queue.
    pub fn ack(&self, state: &mut State, worker: usize) {
        self.settle(state, worker);
        state.workers[worker] = None;
    }

    fn settle(&self, state: &mut State, worker: usize) {
        let Some(place) = state.workers[worker].and_then(|hand| hand.place) else { return };
        state.queue.settle(place);
        for hand in state.workers.iter_mut().flatten() {
            // Another message may get this number; an ack for the one that had it means nothing any more.
            if hand.place == Some(place) && !self.sequences_matter() {
                hand.place = None;
            }
        }
    }

    /// Dies: its transaction is rolled back, and what it had in hand is with the broker.
    pub fn crash_worker(&self, state: &mut State, worker: usize) {
        state.workers[worker] = None;
    }
}
