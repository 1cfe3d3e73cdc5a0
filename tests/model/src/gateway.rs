//! The gateways: claim → publish → acknowledged → answer, and the mark off the caller's time.
//!
//! ```text
//!            Arrive                 Publish (1 or 2)            PubAck
//!  (sent) ──────────▶ Claimed ───────────────────────▶ Sent ──────────────▶ 202 or 200, and a mark is left
//!            │           │                              │
//!            │           └───────────┬──────────────────┘
//!            ▼                       ▼
//!     200 replay, 409      Fail: 503, or no answer at all; Crash: all that this gateway has in hand
//! ```
//!
//! Requests that look the same are the same: a state holds them as a sorted list.

use crate::client::Answer;
use crate::delivery::{Delivery, RUNS, RunId, Target};
use crate::mutants::Mutation;
use crate::protocol::Protocol;
use crate::queue::{Epoch, Item, Message};
use crate::redis::{Claim, Mark};
use crate::state::State;
use crate::step::Step;

/// Most requests that a model sends.
pub const REQUESTS: usize = 4;

/// One of two.
pub type Gateway = u8;

/// How Redis takes a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// It answers.
    Answers,
    /// It does nothing and says nothing, or refuses to write.
    Silent,
    /// It does what it was asked to, but nobody hears.
    Unheard,
}

/// How a delivery goes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// The key was free: publish, 202.
    New,
    /// The same delivery was claimed before, and nobody knows that the stream which exists has it: publish, 200.
    Help,
    /// Redis decides nothing: publish, 202, mark nothing.
    Deferred,
}

/// How far a request has got.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Waits for its message to go out.
    Claimed,
    /// Its message is stored; the PubAck is on its way.
    Sent {
        /// The stream that has it.
        stored: Epoch,
        /// The stream that the gateway knew before it left.
        known: Epoch,
    },
    /// Only in a mutant: waits for the owner of the claim to publish.
    Waiting,
}

/// A request in a gateway's hands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Request {
    /// Whose hands.
    pub gateway: Gateway,
    /// What it carries.
    pub item: Item,
    /// How it goes on.
    pub verdict: Verdict,
    /// How far it has got.
    pub stage: Stage,
}

impl Request {
    /// True if this gateway has it and it has got this far.
    pub fn is_at(&self, gateway: Gateway, stage: Stage) -> bool {
        (self.gateway, self.stage) == (gateway, stage)
    }
}

/// Both gateways.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Gateways {
    /// The stream that each believes to exist. It may be late to learn of another.
    pub known: [Epoch; 2],
    /// In hand.
    pub requests: [Option<Request>; REQUESTS],
    /// Marks that were left. One that never gets its turn is one that was lost; and one may have more than one turn.
    pub marks: [Option<Claim>; REQUESTS],
    /// Run ids given out; only by the mutant that draws them.
    drawn: u8,
}

impl Gateways {
    fn take_up(&mut self, request: Request) {
        put(&mut self.requests, request);
    }

    fn replace(&mut self, request: Request, stage: Stage) {
        remove(&mut self.requests, request);
        put(&mut self.requests, Request { stage, ..request });
    }

    fn drop(&mut self, request: Request) {
        remove(&mut self.requests, request);
    }

    fn draw(&mut self) -> RunId {
        let run = RunId::drawn(self.drawn);
        self.drawn = (self.drawn + 1).min(RUNS as u8 - 1);
        run
    }

    /// In hand, each kind once.
    pub fn in_hand(&self) -> impl Iterator<Item = Request> {
        distinct(&self.requests)
    }

    /// Marks that may be written, each kind once.
    pub fn left_marks(&self) -> impl Iterator<Item = Claim> {
        distinct(&self.marks)
    }

    /// Both gateways and all requests of one kind are alike: the order says nothing.
    pub fn sort(&mut self) {
        let mut other = *self;
        other.known.swap(0, 1);
        for request in other.requests.iter_mut().flatten() {
            request.gateway = 1 - request.gateway;
        }
        self.requests.sort_unstable();
        self.marks.sort_unstable();
        other.requests.sort_unstable();
        if (other.known, other.requests) < (self.known, self.requests) {
            (self.known, self.requests) = (other.known, other.requests);
        }
    }
}

fn put<T>(places: &mut [Option<T>], value: T) {
    let place = places.iter_mut().find(|place| place.is_none());
    *place.expect("a place for each request") = Some(value);
}

fn remove<T: PartialEq>(places: &mut [Option<T>], value: T) {
    let place = places.iter_mut().find(|place| place.as_ref() == Some(&value));
    *place.expect("what a step names is there") = None;
}

/// Of a sorted list.
fn distinct<T: Copy + PartialEq>(places: &[Option<T>]) -> impl Iterator<Item = T> {
    let repeats = |index: usize| index > 0 && places[index] == places[index - 1];
    (0..places.len()).filter(move |index| !repeats(*index)).filter_map(|index| places[index])
}

impl Protocol {
    /// What brings requests in hand nearer to their answers.
    pub fn gateways_go_on(&self, state: &State, mut step: impl FnMut(Step)) {
        for request in state.gateways.in_hand() {
            match request.stage {
                Stage::Claimed => step(Step::Publish(request, None)),
                Stage::Sent { .. } => step(Step::PubAck(request)),
                Stage::Waiting if self.owner_has_published(state, request) => step(Step::OwnerPublished(request)),
                Stage::Waiting => {}
            }
        }
        let claimed = |place: &&Option<Request>| place.is_some_and(|request| request.stage == Stage::Claimed);
        let requests = &state.gateways.requests;
        for (index, first) in requests.iter().enumerate().filter(|(_, place)| claimed(place)) {
            for (_, second) in requests.iter().enumerate().filter(|(other, place)| *other != index && claimed(place)) {
                if let (Some(first), Some(second)) = (*first, *second)
                    && first.gateway == second.gateway
                {
                    step(Step::Publish(first, Some(second)));
                }
            }
        }
    }

    /// What may happen to gateways, and what has time.
    pub fn gateways_may(&self, state: &State, mut step: impl FnMut(Step)) {
        for delivery in state.book.next() {
            for gateway in [0, 1] {
                for target in self.targets() {
                    for asked in [Asked::Answers, Asked::Silent, Asked::Unheard] {
                        step(Step::Arrive(gateway, *delivery, *target, asked));
                    }
                }
            }
        }
        state.gateways.left_marks().for_each(|mark| step(Step::Mark(mark)));
        for request in state.gateways.in_hand() {
            step(Step::Fail(request));
            if let Stage::Sent { .. } = request.stage {
                step(Step::PubAckUntold(request));
            }
        }
        for gateway in [0, 1] {
            if state.gateways.known[usize::from(gateway)] != state.queue.epoch {
                step(Step::Learn(gateway));
            }
            if state.gateways.requests.iter().flatten().any(|request| request.gateway == gateway) {
                step(Step::CrashGateway(gateway));
            }
        }
    }

    /// A request arrives, and its key is claimed: one round trip to Redis.
    ///
    /// A gateway that knows of a refusal only reads the claim, and then answers 200 and 409 as here or 503: that is this
    /// step with less in it.
    pub fn arrive(&self, state: &mut State, gateway: Gateway, delivery: Delivery, target: Target, asked: Asked) {
        state.book.send(delivery);
        let known = state.gateways.known[usize::from(gateway)];
        let run = match self.mutation {
            Some(Mutation::DrawnRunId) => state.gateways.draw(),
            _ => self.case.run_id(delivery, self.mutation),
        };
        let ours = Claim { delivery, run, mark: Mark::Claimed };
        let key = self.claim_key(delivery);
        let held = match asked {
            Asked::Silent => None,
            Asked::Answers | Asked::Unheard => state.redis.set_if_absent(key, ours),
        };
        let go_on = |state: &mut State, verdict, run| {
            self.go_on(
                state,
                Request { gateway, item: Item { delivery, run, target }, verdict, stage: Stage::Claimed },
            );
        };
        match (asked, held) {
            (Asked::Silent | Asked::Unheard, _) => go_on(state, Verdict::Deferred, run),
            (Asked::Answers, None) => go_on(state, Verdict::New, run),
            (Asked::Answers, Some(held)) if !self.same(held.delivery, delivery) => self.refuse(state, delivery),
            (Asked::Answers, Some(held)) if self.is_published(held.mark, known) => {
                self.answer(state, Answer { delivery, run: held.run, evidence: known, vouched: true });
            }
            (Asked::Answers, Some(held)) => go_on(state, Verdict::Help, held.run),
        }
    }

    /// By their fingerprints.
    fn same(&self, one: Delivery, other: Delivery) -> bool {
        let fingerprint = |delivery| self.case.fingerprint(delivery, self.mutation);
        fingerprint(one) == fingerprint(other) || self.mutation == Some(Mutation::ClaimWithoutFingerprint)
    }

    /// A mark of another stream than the one that is known is worth no more than a claim.
    fn is_published(&self, mark: Mark, known: Epoch) -> bool {
        match (mark, self.mutation) {
            (Mark::Claimed, _) => false,
            (Mark::Published(_), Some(Mutation::MarkOutlivesStream)) => true,
            (Mark::Published(epoch), _) => epoch == known,
        }
    }

    fn go_on(&self, state: &mut State, request: Request) {
        let answer = self.answer_to(request, state.queue.epoch);
        match (self.mutation, request.verdict) {
            (Some(Mutation::HelpWithoutPublish), Verdict::Help) => return self.answer(state, answer),
            (Some(Mutation::HelpWaitsForOwner), Verdict::Help) => {
                return state.gateways.take_up(Request { stage: Stage::Waiting, ..request });
            }
            (Some(Mutation::AnswerBeforePubAck), _) => self.answer(state, answer),
            (Some(Mutation::MarkBeforePubAck), Verdict::New | Verdict::Help) => {
                self.leave_mark(state, request, state.gateways.known[usize::from(request.gateway)]);
            }
            _ => {}
        }
        state.gateways.take_up(request);
    }

    /// A message with one or two deliveries leaves and is stored. The marks will name the stream that was known before.
    pub fn publish(&self, state: &mut State, first: Request, second: Option<Request>) {
        let known = state.gateways.known[usize::from(first.gateway)];
        let sent = Stage::Sent { stored: state.queue.epoch, known };
        let message = Message { first: first.item, second: second.map(|second| second.item) };
        for request in [Some(first), second].into_iter().flatten() {
            state.gateways.replace(request, sent);
        }
        // The broker answers a message whose id it knows with the PubAck of the first.
        if self.mutation == Some(Mutation::MessageIdFromRunId) && state.queue.knows_id(&message) {
            return;
        }
        if self.sequences_matter() {
            state.queue.append(message);
        } else {
            state.queue.store(message);
        }
    }

    /// The PubAck arrives: a mark is left, and the caller answered. `told` is false where the gateway dies in between,
    /// or the caller has hung up.
    pub fn acknowledged(&self, state: &mut State, request: Request, told: bool) {
        let Stage::Sent { stored, known } = request.stage else { return };
        state.gateways.drop(request);
        let epoch = match self.mutation {
            Some(Mutation::MarkNamesLaterStream) => state.gateways.known[usize::from(request.gateway)],
            _ => known,
        };
        if request.verdict != Verdict::Deferred || self.mutation == Some(Mutation::DeferredIsMarked) {
            self.leave_mark(state, request, epoch);
        }
        if told {
            self.answer(state, self.answer_to(request, stored));
        }
    }

    fn answer_to(&self, request: Request, evidence: Epoch) -> Answer {
        let Item { delivery, run, .. } = request.item;
        Answer { delivery, run, evidence, vouched: request.verdict != Verdict::Deferred }
    }

    fn leave_mark(&self, state: &mut State, request: Request, epoch: Epoch) {
        let Item { delivery, run, .. } = request.item;
        let mark = Claim { delivery, run, mark: Mark::Published(epoch) };
        if !state.gateways.marks.contains(&Some(mark)) {
            put(&mut state.gateways.marks, mark);
        }
    }

    /// A mark is written over the claim, where one still exists: the whole value, since what was published is a fact.
    pub fn mark(&self, state: &mut State, mark: Claim) {
        let key = self.claim_key(mark.delivery);
        let value = match (self.mutation, state.redis.get(key)) {
            (Some(Mutation::MarkFlipsStateOnly), Some(held)) => Claim { mark: mark.mark, ..held },
            _ => mark,
        };
        state.redis.set_if_present(key, value);
    }

    /// 503, or no answer: refused by the broker, not acknowledged in time, cut off, or forgotten by a dying gateway.
    pub fn fail(&self, state: &mut State, request: Request) {
        state.gateways.drop(request);
    }

    /// Dies with all that it has in hand, and comes back; before it takes requests it looks which stream there is.
    pub fn crash_gateway(&self, state: &mut State, gateway: Gateway) {
        for place in &mut state.gateways.requests {
            if place.is_some_and(|request| request.gateway == gateway) {
                *place = None;
            }
        }
        self.learn(state, gateway);
    }

    /// Looks at the stream, as it does each second and when the broker tells of a change.
    pub fn learn(&self, state: &mut State, gateway: Gateway) {
        state.gateways.known[usize::from(gateway)] = state.queue.epoch;
    }

    fn owner_has_published(&self, state: &State, request: Request) -> bool {
        let known = state.gateways.known[usize::from(request.gateway)];
        let held = state.redis.get(self.claim_key(request.item.delivery));
        held.is_some_and(|held| self.is_published(held.mark, known))
    }

    /// Only in a mutant: what was waited for has happened.
    pub fn owner_published(&self, state: &mut State, request: Request) {
        state.gateways.drop(request);
        self.answer(state, self.answer_to(request, state.queue.epoch));
    }
}
