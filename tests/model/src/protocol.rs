//! The protocol as a [`Model`]: which steps there are in a state, and what each does.

use stateright::{Model, Property};

use crate::client::Wrong;
use crate::delivery::{Case, Delivery, Key, Target};
use crate::mutants::Mutation;
use crate::outcomes;
use crate::properties::Name;
use crate::state::State;
use crate::step::Step;

/// What is modelled, and within which bounds. All else is without bound: requests fail, gateways and workers die, messages
/// are redelivered, Redis forgets, remembers wrongly and falls silent, at any step and any number of times.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// In what the two deliveries differ.
    pub case: Case,
    /// Requests in all, [`REQUESTS`](crate::gateway::REQUESTS) at most.
    pub requests: u8,
    /// How often the stream is lost.
    pub stream_losses: u8,
    /// Whether playbooks are pointed at other targets, these are deleted and come back, and operators replay dead letters.
    pub targets_go: bool,
    /// What is wrong with it, if something is.
    pub mutation: Option<Mutation>,
    /// What is asked.
    pub question: Question,
    /// Whether states that cannot be told apart are one.
    pub reduced: bool,
}

/// What a check is to find out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// Does every invariant hold in every state?
    Invariants,
    /// Can every outcome be reached? Or the invariants would hold of a system that does nothing.
    Outcomes,
    /// The same of those that need three requests, which are many states to ask every question in.
    LateMarks,
    /// The same of those that take targets which go and return.
    Targets,
}

impl Protocol {
    /// The right one: three requests, and a stream that is lost once.
    pub fn new(case: Case) -> Self {
        let question = Question::Invariants;
        Self { case, requests: 3, stream_losses: 1, targets_go: false, mutation: None, question, reduced: true }
    }

    /// What brings the system nearer to rest.
    pub fn goes_on(&self, state: &State, mut step: impl FnMut(Step)) {
        self.gateways_go_on(state, &mut step);
        self.workers_go_on(state, &mut step);
    }

    /// What a request may be resolved to. Gateways hear late of a change, so either at any time.
    pub fn targets(&self) -> &'static [Target] {
        if self.targets_go { &[Target::First, Target::Second] } else { &[Target::First] }
    }

    /// Where Redis keeps the claim.
    pub fn claim_key(&self, delivery: Delivery) -> Key {
        match self.mutation {
            Some(Mutation::RunIdWithoutScope) => self.case.key(Delivery::A),
            _ => self.case.key(delivery),
        }
    }

    /// True where an ack could settle another message than the one it is for.
    pub fn sequences_matter(&self) -> bool {
        self.mutation == Some(Mutation::ConsumerOutlivesStream)
    }

    /// True where somebody looks at a claim without having sent a request.
    pub fn reads_claims_later(&self) -> bool {
        self.mutation == Some(Mutation::HelpWaitsForOwner)
    }

    fn do_step(&self, state: &mut State, step: Step) {
        match step {
            Step::Arrive(gateway, delivery, target, asked) => self.arrive(state, gateway, delivery, target, asked),
            Step::Publish(first, second) => self.publish(state, first, second),
            Step::PubAck(request) => self.acknowledged(state, request, true),
            Step::PubAckUntold(request) => self.acknowledged(state, request, false),
            Step::Fail(request) => self.fail(state, request),
            Step::Mark(mark) => self.mark(state, mark),
            Step::Learn(gateway) => self.learn(state, gateway),
            Step::CrashGateway(gateway) => self.crash_gateway(state, gateway),
            Step::OwnerPublished(request) => self.owner_published(state, request),
            Step::Pull(worker, place, message) | Step::Redeliver(worker, place, message) => {
                self.pull(state, worker, place, message);
            }
            Step::Insert(worker, _) => self.insert(state, worker),
            Step::LookUp(worker, _) => self.look_up(state, worker),
            Step::Commit(worker, _) => self.commit(state, worker),
            Step::Ack(worker, _) => self.ack(state, worker),
            Step::CrashWorker(worker, _) => self.crash_worker(state, worker),
            Step::Forget => self.forget(state),
            Step::Restore(claim) => self.restore(state, claim),
            Step::LoseStream => self.lose_stream(state),
            Step::LoseMessage(place) => state.queue.settle(place),
            Step::TargetGoes => self.target_goes(state, true),
            Step::TargetReturns => self.target_goes(state, false),
            Step::Replay(delivery) => self.replay(state, delivery),
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.canonical(State::new(self.requests))]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.goes_on(state, |step| steps.push(step));
        self.gateways_may(state, |step| steps.push(step));
        self.workers_may(state, |step| steps.push(step));
        self.redis_may(state, |step| steps.push(step));
        self.queue_may(state, |step| steps.push(step));
        self.operator_may(state, |step| steps.push(step));
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = *before;
        self.do_step(&mut state, step);
        if step.leads_on() && state.distance_from_rest() >= before.distance_from_rest() {
            state.book.note(Wrong::Astray);
        }
        Some(if self.reduced { self.canonical(state) } else { self.sorted(state) })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        match self.question {
            Question::Invariants => Name::ALL.map(Name::property).into(),
            Question::Outcomes => outcomes::properties(),
            Question::LateMarks => outcomes::late_marks(),
            Question::Targets => outcomes::targets(),
        }
    }
}
