//! What the design allows is no violation, however rare it is.

use drill::{Event, What};

use crate::sheet::{CATALOG, Sheet, conflict, created, deferred, nothing, refused, replayed, unavailable, what};

#[test]
fn a_delivery_and_its_retries() {
    Sheet::new().holds();
    Sheet::new().send(what("a"), 0, 5, created(1)).run(what("a"), 1).holds();
    let retried = Sheet::new().send(what("a"), 0, 5, created(1)).send(what("a"), 6, 9, replayed(1));
    retried.run(what("a"), 1).holds();
    // At once: the one that was begun later can have come first.
    let twins = Sheet::new().send(what("a"), 0, 9, replayed(2)).send(what("a"), 1, 5, created(2));
    twins.run(what("a"), 2).holds();
}

#[test]
fn what_was_not_answered_may_have_happened_or_not() {
    for answer in [nothing, unavailable] {
        // The first claimed and perhaps published; the second helps.
        let helped = || Sheet::new().send(what("a"), 0, 5, answer()).send(what("a"), 6, 9, replayed(2));
        helped().run(what("a"), 2).holds();
        // It did not get as far as Redis.
        let late = Sheet::new().send(what("a"), 0, 5, answer()).send(what("a"), 6, 9, created(7));
        late.run(what("a"), 7).holds();
        // It was published unchecked, with a timestamp that nobody was told.
        let unchecked = Sheet::new().send(what("a"), 0, 5, answer()).send(what("a"), 6, 9, created(7));
        unchecked.run(what("a"), 3).holds();
        // The same, and then another delivery came by.
        let overtaken = Sheet::new().send(what("a"), 0, 5, answer()).send(what("b"), 6, 9, created(7));
        let overtaken = overtaken.send(what("a"), 10, 12, conflict());
        overtaken.run(what("a"), 3).letter(what("b")).holds();
    }
}

/// Its gateway was frozen, and went on long after the sender had given up.
#[test]
fn what_was_not_answered_may_happen_late() {
    let late = Sheet::new().send(what("a"), 0, 5, nothing()).send(what("a"), 60_000, 60_005, created(60_001));
    late.run(what("a"), 30_000).holds();
}

#[test]
fn a_conflict_is_refused() {
    let sheet = || Sheet::new().send(what("a"), 0, 5, created(1)).send(what("b"), 6, 9, conflict());
    sheet().run(what("a"), 1).holds();
    // So is the first, where the second was faster.
    let crossed = Sheet::new().send(what("a"), 0, 9, conflict()).send(what("b"), 1, 5, created(2));
    crossed.run(what("b"), 2).holds();
    // Another target is another delivery, even where it is the default's own name; and another playbook is.
    let named = What { project: Some("main".to_owned()), ..what("a") };
    let elsewhere = What { place: 1, ..what("a") };
    let sheet = Sheet::new().send(what("a"), 0, 5, created(1)).send(named, 6, 9, conflict());
    sheet.send(elsewhere, 6, 9, conflict()).run(what("a"), 1).holds();
}

#[test]
fn a_deferred_check_lets_a_conflict_through_to_a_dead_letter() {
    let second = || Sheet::new().send(what("a"), 0, 5, created(1)).send(what("b"), 6, 9, deferred(7));
    second().run(what("a"), 1).letter(what("b")).holds();
    // The queue may turn them round.
    second().run(what("b"), 7).letter(what("a")).holds();
    // The deferred one claimed nothing.
    let first = Sheet::new().send(what("a"), 0, 5, deferred(1)).send(what("b"), 6, 9, created(7));
    let first = first.send(what("a"), 10, 12, conflict());
    first.run(what("a"), 1).letter(what("b")).holds();
    let twice = Sheet::new().send(what("a"), 0, 5, deferred(1)).send(what("a"), 6, 9, deferred(7));
    twice.run(what("a"), 7).holds();
}

#[test]
fn a_redis_that_forgot_lets_a_conflict_through_and_refuses_the_first() {
    let sheet = Sheet::new().send(what("a"), 0, 5, created(1)).note(Event::Forgot, 5, 6);
    let sheet = sheet.send(what("b"), 7, 9, created(8)).send(what("a"), 10, 12, conflict());
    sheet.run(what("a"), 1).letter(what("b")).holds();
    // The late retry reads 202, with a timestamp of its own.
    let late = Sheet::new().send(what("a"), 0, 5, created(1)).note(Event::Forgot, 5, 6);
    late.send(what("a"), 7, 9, created(8)).run(what("a"), 1).holds();
    // The mark of the first overwrites the claim of the second: a fact wins.
    let marked = Sheet::new().send(what("a"), 0, 5, nothing()).note(Event::Forgot, 2, 3);
    let marked = marked.send(what("b"), 4, 6, created(5)).send(what("a"), 7, 9, replayed(1));
    marked.run(what("a"), 1).letter(what("b")).holds();
}

#[test]
fn a_stream_that_was_lost_takes_what_nobody_sent_again() {
    let lost = || Sheet::new().send(what("a"), 0, 5, created(1)).note(Event::StreamLost, 6, 20);
    lost().holds();
    // An old mark may still be believed before every gateway knows.
    lost().send(what("a"), 10, 12, replayed(1)).holds();
    lost().send(what("a"), 21, 23, replayed(1)).run(what("a"), 1).holds();
}

#[test]
fn refusals_ask_for_patience() {
    let busy = Sheet::new().send(what("a"), 0, 1, refused(503, "overloaded")).send(what("a"), 2, 3, created(2));
    busy.run(what("a"), 2).holds();
    let off = Sheet::new().note(CATALOG, 0, 10).send(what("a"), 1, 2, refused(404, "playbook_disabled"));
    off.send(what("a"), 11, 12, created(11)).run(what("a"), 11).holds();
}
