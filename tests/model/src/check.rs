//! Runs a model, and tells in plain words what came of it.

use std::collections::BTreeSet;
use std::fmt;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use crate::properties::Name;
use crate::protocol::Protocol;
use crate::state::State;
use crate::step::Step;

/// What came of a check.
pub struct Verdict {
    /// Different states seen.
    pub states: usize,
    /// Steps taken.
    pub steps: usize,
    /// Most steps in a row.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// Invariants that do not hold, each with the steps that break it; or outcomes that were not reached.
    pub failures: Vec<(&'static str, Vec<Step>)>,
}

/// Every state that there is, on all processors; ends at once if an invariant breaks.
///
/// Depth first, which needs least memory. States are told apart by 64 bits of hash: among ten million of them the odds
/// that two are taken for one are about one in 400,000.
pub fn exhaustively(protocol: Protocol) -> Verdict {
    let threads = available_parallelism().map_or(1, usize::from);
    let checker = protocol.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    verdict(protocol, Instant::now(), &checker.spawn_dfs().join())
}

/// Breadth first, until all outcomes were reached.
pub fn outcomes(protocol: Protocol) -> Verdict {
    verdict(protocol, Instant::now(), &protocol.checker().finish_when(HasDiscoveries::All).spawn_bfs().join())
}

/// Breadth first, until all these invariants are broken: so by few steps.
pub fn breaks(protocol: Protocol, names: &[Name]) -> Verdict {
    let names: BTreeSet<_> = names.iter().map(|name| name.text()).collect();
    verdict(protocol, Instant::now(), &protocol.checker().finish_when(HasDiscoveries::AllOf(names)).spawn_bfs().join())
}

fn verdict(protocol: Protocol, began: Instant, checker: &impl Checker<Protocol>) -> Verdict {
    let mut found = checker.discoveries();
    let failures = protocol.properties().into_iter().filter_map(|property| {
        let discovery: Option<Path<State, Step>> = found.remove(property.name);
        match (property.expectation, discovery) {
            (Expectation::Sometimes, None) => Some((property.name, Vec::new())),
            (Expectation::Sometimes, Some(_)) => None,
            (Expectation::Always | Expectation::Eventually, path) => Some((property.name, path?.into_actions())),
        }
    });
    Verdict {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        failures: failures.collect(),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, depth, took, .. } = self;
        write!(f, "{states} states, {steps} steps, {depth} deep, in {:.1} s", took.as_secs_f64())?;
        for (name, steps) in &self.failures {
            write!(f, "\nFAILED {name}")?;
            for step in steps {
                write!(f, "\n  {step:?}")?;
            }
        }
        Ok(())
    }
}
