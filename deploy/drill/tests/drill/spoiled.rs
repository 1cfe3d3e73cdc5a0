//! The whole of a drill, and a database that was spoiled after it.

use std::sync::Mutex;

use drill::{Drill, Invariant, Part, Progress, Sabotage};

/// Each kind of sabotage is found, and as what it is.
#[tokio::test]
async fn a_spoiled_database_is_found() {
    let drill = Drill { deliveries: 600, seed: 3, kill: vec![Part::Redis], senders: 16 };
    let killed = Mutex::new(vec![]);
    let tell = |progress| {
        if let Progress::Killed(kill, at) = progress {
            killed.lock().unwrap().push((kill.process, at));
        }
    };
    let after = drill.run(&tell).await.expect("the drill is held");
    let clean = after.verdict().await.expect("a verdict");
    assert!(clean.is_clean(), "{clean}");
    let figures = &clean.figures;
    assert!(figures.keys > 400 && figures.rows == figures.keys && figures.duplicates_dropped > 0, "{figures:?}");
    assert!(figures.answered["409 idempotency_conflict"] > 0 && figures.answered["200"] > 0, "{figures:?}");
    assert!(matches!(&killed.lock().unwrap()[..], [(process, 200..=400)] if process == "redis"), "{killed:?}");

    for (sabotage, invariant, words) in [
        (Sabotage::Lose, Invariant::I3, "neither run nor dead letter"),
        (Sabotage::Alter, Invariant::I3, "a run is not what was sent"),
        (Sabotage::Double, Invariant::I1, "has 2 runs"),
    ] {
        after.spoil(sabotage).await.expect("spoiled");
        let verdict = after.verdict().await.expect("a verdict");
        let found = |violation: &drill::Violation| violation.invariant == invariant && violation.text.contains(words);
        assert!(verdict.violations.iter().any(found), "{sabotage}: {verdict}");
    }
    // The audit counts rows, and one more and one less are as many as before: it rests on other evidence, and proves less.
    let spoiled = after.verdict().await.expect("a verdict");
    assert_eq!((spoiled.figures.lost, spoiled.figures.doubled), (2, 1), "{spoiled}");
}
