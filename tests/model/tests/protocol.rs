//! The right protocol: every invariant in every state, and every outcome within reach.

use model::check::{self, Verdict};
use model::delivery::Case;
use model::protocol::{Protocol, Question};

#[track_caller]
fn holds(verdict: &Verdict) {
    eprintln!("{verdict}");
    assert!(verdict.failures.is_empty(), "see above");
}

/// One key, two payloads.
#[test]
fn invariants() {
    holds(&check::exhaustively(Protocol::new(Case::TwoPayloads)));
}

/// One key of an organization, sent to two of its playbooks: another playbook is another target.
#[test]
fn organization_scope() {
    holds(&check::exhaustively(Protocol { requests: 2, ..Protocol::new(Case::OrganizationScope) }));
}

/// One key, sent to two playbooks: two keys, and both get their runs.
#[test]
fn playbook_scope() {
    holds(&check::exhaustively(Protocol { requests: 2, ..Protocol::new(Case::PlaybookScope) }));
}

/// Targets that change from one request to the next, that go and return, and operators who replay what was buried meanwhile.
#[test]
fn targets() {
    holds(&check::exhaustively(Protocol { requests: 2, targets_go: true, ..Protocol::new(Case::TwoPayloads) }));
}

#[test]
fn outcomes() {
    let protocol = Protocol::new(Case::TwoPayloads);
    holds(&check::outcomes(Protocol { requests: 2, question: Question::Outcomes, ..protocol }));
    holds(&check::outcomes(Protocol { question: Question::LateMarks, ..protocol }));
    holds(&check::outcomes(Protocol { requests: 2, targets_go: true, question: Question::Targets, ..protocol }));
}

/// What makes the space small hides nothing: the same invariants hold where every state is looked at.
#[test]
fn unreduced() {
    holds(&check::exhaustively(Protocol {
        requests: 2,
        stream_losses: 0,
        reduced: false,
        ..Protocol::new(Case::TwoPayloads)
    }));
}
