//! What must be reachable: every answer, every end of a delivery, every place where a process may die, and the races
//! that the protocol is made for. An invariant that holds because nothing ever happens is worth nothing.

use stateright::{Model, Property};

use crate::delivery::{Delivery, Target};
use crate::gateway::{Asked, Gateway, Request, Stage as Sent, Verdict};
use crate::protocol::Protocol;
use crate::redis::{Claim, Mark};
use crate::state::State;
use crate::step::Step;
use crate::worker::{Hand, Stage};

/// A property for each line: its name, and the step that makes it true where it can be taken.
macro_rules! sometimes {
    ($(|$protocol:pat_param, $state:pat_param| $name:literal: $step:pat $(if $condition:expr)?,)*) => {
        vec![$(
            Property::sometimes($name, |protocol: &Protocol, state| {
                protocol.offers(state, |$protocol, $state, step| matches!(step, $step $(if $condition)?))
            })
        ),*]
    };
}

/// As properties of the model.
pub fn properties() -> Vec<Property<Protocol>> {
    sometimes! {
        // Answers.
        |_, _| "202: new": Step::PubAck(Request { verdict: Verdict::New, .. }),
        |_, _| "202: deferred": Step::PubAck(Request { verdict: Verdict::Deferred, .. }),
        |_, _| "200: helped": Step::PubAck(Request { verdict: Verdict::Help, .. }),
        |p, s| "200: replayed": Step::Arrive(gateway, delivery, _, Asked::Answers) if p.replays(s, gateway, delivery),
        |p, s| "409": Step::Arrive(_, delivery, _, Asked::Answers) if p.claimed_by_other(s, delivery),
        |_, _| "503: nothing was stored": Step::Fail(Request { stage: Sent::Claimed, .. }),
        |_, _| "503: the message was stored": Step::Fail(Request { stage: Sent::Sent { .. }, .. }),
        |_, _| "two requests share a message": Step::Publish(_, Some(_)),

        // Redis.
        |p, s| "a mark finds no claim": Step::Mark(mark) if p.claim(s, mark.delivery).is_none(),
        |_, _| "Redis is emptied": Step::Forget,

        // Ends.
        |_, _| "a run is created":
            Step::Commit(_, Hand { stage: Stage::Decided { created: [true, _], .. }, .. }),
        |_, s| "a duplicate is settled": Step::Commit(_, hand) if nothing_to_write(&hand) && s.postgres.has_run(first(&hand)),
        |_, _| "a conflict is buried": Step::Commit(_, Hand { stage: Stage::Decided { dead: [true, _], .. }, .. }),
        |_, _| "a conflict is buried behind the run that shares its message":
            Step::Commit(_, Hand { stage: Stage::Decided { created: [true, false], dead: [false, true] }, .. }),
        |_, s| "a dead letter settles its redelivery":
            Step::Commit(_, hand) if nothing_to_write(&hand) && s.postgres.dead_letters(first(&hand)) > 0,
        |_, s| "what is committed is redelivered":
            Step::Pull(_, _, message) if message.items().all(|item| s.postgres.has_ended(item.delivery)),

        // Races of two workers.
        |_, _| "a message is in two hands": Step::Redeliver(..),
        |_, s| "an insert gives way to a row that it cannot see":
            Step::Insert(_, hand @ Hand { stage: Stage::Blocked { .. }, .. }) if s.postgres.run(hand.message.first.run).is_some(),
        |_, s| "an insert takes the place of a rival that died":
            Step::Insert(_, hand @ Hand { stage: Stage::Blocked { .. }, .. }) if s.postgres.run(hand.message.first.run).is_none(),
        |_, _| "the other worker has settled it": Step::Commit(_, Hand { place: None, .. }),

        // A stream is lost.
        |_, s| "the stream is lost with a delivery in it": Step::LoseStream if !s.queue.is_empty(),
        |p, s| "a gateway replays from a stream that is lost":
            Step::Arrive(gateway, delivery, _, Asked::Answers) if p.replays(s, gateway, delivery) && s.gateways.known[usize::from(gateway)] != s.queue.epoch,
        |p, s| "a retry heals what was answered and lost":
            Step::Commit(_, hand @ Hand { stage: Stage::Decided { created: [true, _], .. }, place: Some(_), .. })
            if p.was_published_before(s, first(&hand)),

        // Deaths.
        |_, s| "a gateway dies between claim and publish":
            Step::CrashGateway(gateway) if s.gateways.in_hand().any(|request| request.is_at(gateway, Sent::Claimed)),
        |_, s| "a gateway dies between publish and PubAck":
            Step::CrashGateway(gateway) if s.gateways.in_hand().any(|request| !request.is_at(gateway, Sent::Claimed)),
        |_, _| "a gateway dies between PubAck and answer": Step::PubAckUntold(_),
        |_, _| "a worker dies between pull and insert":
            Step::CrashWorker(_, Hand { stage: Stage::Pulled, .. }),
        |_, _| "a worker dies waiting for a rival": Step::CrashWorker(_, Hand { stage: Stage::Blocked { .. }, .. }),
        |_, _| "a worker dies between insert and look-up": Step::CrashWorker(_, Hand { stage: Stage::Inserted { .. }, .. }),
        |_, _| "a worker dies between look-up and COMMIT": Step::CrashWorker(_, Hand { stage: Stage::Decided { .. }, .. }),
        |_, _| "a worker dies between COMMIT and ack": Step::CrashWorker(_, Hand { stage: Stage::Committed, .. }),
    }
}

/// As properties of the model: what takes a request that publishes, one that is first after Redis has forgotten, and one
/// that is judged by the mark.
pub fn late_marks() -> Vec<Property<Protocol>> {
    sometimes! {
        |p, s| "a late mark overwrites a rival's claim": Step::Mark(mark) if p.claimed_by_other(s, mark.delivery),
        |_, s| "a gateway dies between answer and mark":
            Step::CrashGateway(_) if s.gateways.left_marks().next().is_some(),
    }
}

/// As properties of the model: what targets that go and return lead to.
pub fn targets() -> Vec<Property<Protocol>> {
    sometimes! {
        |_, s| "what is for a target that has gone is buried": Step::Commit(_, hand) if hand.buries() && s.postgres.run(hand.message.first.run).is_none(),
        |_, s| "a target returns, and its dead letter settles a redelivery":
            Step::Commit(_, hand) if nothing_to_write(&hand) && !s.postgres.has_run(first(&hand)) && !s.postgres.is_gone(hand.message.first.target),
        |_, s| "a look-up finds nothing, and all begins again": Step::LookUp(_, hand) if hand.is_unsettled(&s.postgres),
        |_, s| "what was to be buried has got a run for another target":
            Step::LookUp(_, hand) if hand.alone && s.postgres.has_run(first(&hand)),
        |_, s| "what was to be inserted was buried for want of another target":
            Step::Insert(_, hand) if s.postgres.dead_letters(first(&hand)) > 0 && !s.postgres.is_gone(hand.message.first.target) && s.postgres.is_gone(Target::First),
        |_, _| "a dead letter is replayed": Step::Replay(_),
        |_, s| "what was replayed settles a redelivery":
            Step::Commit(_, hand) if nothing_to_write(&hand) && s.postgres.has_run(first(&hand)) && s.postgres.dead_letters(first(&hand)) > 0,
    }
}

fn first(hand: &Hand) -> Delivery {
    hand.message.first.delivery
}

fn nothing_to_write(hand: &Hand) -> bool {
    hand.stage == Stage::Decided { created: [false; 2], dead: [false; 2] }
}

impl Protocol {
    fn offers(&self, state: &State, is_it: impl Fn(&Self, &State, Step) -> bool) -> bool {
        let mut steps = Vec::new();
        self.actions(state, &mut steps);
        steps.into_iter().any(|step| is_it(self, state, step))
    }

    fn claim(&self, state: &State, delivery: Delivery) -> Option<Claim> {
        state.redis.get(self.claim_key(delivery))
    }

    fn claimed_by_other(&self, state: &State, delivery: Delivery) -> bool {
        self.claim(state, delivery).is_some_and(|claim| claim.delivery != delivery)
    }

    fn replays(&self, state: &State, gateway: Gateway, delivery: Delivery) -> bool {
        let known = state.gateways.known[usize::from(gateway)];
        self.claim(state, delivery)
            .is_some_and(|claim| claim.delivery == delivery && claim.mark == Mark::Published(known))
    }

    fn was_published_before(&self, state: &State, delivery: Delivery) -> bool {
        let before = |mark| matches!(mark, Mark::Published(epoch) if epoch != state.queue.epoch);
        self.claim(state, delivery).is_some_and(|claim| claim.delivery == delivery && before(claim.mark))
    }
}
