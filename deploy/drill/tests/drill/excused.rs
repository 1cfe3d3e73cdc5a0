//! Where each excuse begins and ends: a book on either side.

use drill::Invariant::{Contract, I3, I4};
use drill::{Answer, Event, What};
use uuid::Uuid;

use crate::sheet::{
    CATALOG, Sheet, UNCHECKED, at, conflict, created, deferred, nothing, refused, replayed, unavailable, what,
};

const FORGOT: Event = Event::Forgot;

/// A sheet with a note that Redis forgot: before the first request, between the two, or after the second.
fn forgetting(second: impl Fn(Sheet) -> Sheet) -> [Sheet; 3] {
    let begin = |sheet: Sheet| sheet.send(what("a"), 10, 15, created(11));
    [
        second(begin(Sheet::new().note(FORGOT, 0, 9))),
        second(begin(Sheet::new()).note(FORGOT, 16, 19)),
        second(begin(Sheet::new())).note(FORGOT, 31, 40),
    ]
}

/// Redis has forgotten a key only where it did so between the first request of it and the answer that shows it.
#[test]
fn what_redis_forgot_before_or_after_is_no_excuse() {
    let [before, between, after] = forgetting(|sheet| {
        // Who has the key now was sent to somebody who never answered.
        sheet
            .send(what("b"), 17, 18, nothing())
            .send(what("b"), 20, 25, created(21))
            .letter(what("b"))
            .run(what("a"), 11)
    });
    before.violates(I4, "2 deliveries were accepted");
    between.holds();
    after.violates(I4, "2 deliveries were accepted");

    let [before, between, after] = forgetting(|sheet| {
        let sheet = sheet.send(what("b"), 17, 30, deferred(18)).send(what("a"), 20, 25, conflict());
        sheet.run(what("a"), 11).letter(what("b"))
    });
    before.violates(I4, "its retry was answered 409");
    between.holds();
    after.violates(I4, "its retry was answered 409");

    let [before, between, after] =
        forgetting(|sheet| sheet.send(what("b"), 20, 25, created(21)).letter(what("b")).run(what("a"), 11));
    before.violates(I4, "although every check was made");
    between.holds();
    after.violates(I4, "although every check was made");

    let [before, between, after] = forgetting(|sheet| sheet.send(what("a"), 20, 25, created(21)).run(what("a"), 11));
    before.violates(I4, "as new more than once");
    between.holds();
    after.violates(I4, "as new more than once");

    let [before, between, after] = forgetting(|sheet| sheet.send(what("a"), 20, 25, replayed(21)).run(what("a"), 11));
    before.violates(Contract, "2 timestamps");
    between.holds();
    after.violates(Contract, "2 timestamps");

    // As long as it goes on, it may have been then.
    let going_on = Sheet::new().note_since(FORGOT, 0).send(what("a"), 10, 15, created(11));
    going_on.send(what("a"), 20, 25, created(21)).run(what("a"), 11).holds();
}

/// Playbooks and switches: at that gateway, at that playbook, and while it is so.
#[test]
fn a_change_of_the_catalog_excuses_nobody_else() {
    let refusals =
        [(401, "invalid_secret"), (404, "not_found"), (404, "playbook_disabled"), (404, "kill_switch_engaged")];
    for (code, error) in refusals {
        let words = format!("was answered {code} {error}");
        let from = |sheet: Sheet, begun, ended| {
            let sheet = sheet.send(what("a"), begun, ended, refused(code, error));
            sheet.send(what("a"), 90, 95, created(91)).run(what("a"), 91)
        };
        let sheet = || Sheet::new().note(CATALOG, 10, 20);
        from(sheet(), 2, 9).violates(Contract, &words);
        from(sheet(), 2, 10).holds();
        // It was on its way when the change was known to all.
        from(sheet(), 20, 25).holds();
        from(sheet(), 21, 25).violates(Contract, &words);
        from(Sheet::new().note_since(CATALOG, 10), 80, 85).holds();
        from(sheet().through(1), 12, 15).violates(Contract, &words);
        let elsewhere = Event::Catalog { gateway: 0, place: 1 };
        from(Sheet::new().note(elsewhere, 10, 20), 12, 15).violates(Contract, &words);
        from(Sheet::new().note(UNCHECKED, 10, 20), 12, 15).violates(Contract, &words);
        let there = || What { place: 1, ..what("a") };
        let there =
            sheet().send(there(), 12, 15, refused(code, error)).send(there(), 90, 95, created(91)).run(there(), 91);
        there.violates(Contract, &words);
    }
}

/// What was refused for what it is was never published, and its key never taken.
#[test]
fn refusals_that_publish_nothing_make_no_dead_letter() {
    let refusals = [
        refused(401, "invalid_secret"),
        refused(404, "not_found"),
        conflict(),
        refused(503, "overloaded"),
        refused(429, "rate_limited"),
    ];
    let sheet = |answer| {
        let sheet = Sheet::new().note(CATALOG, 0, 100).send(what("a"), 0, 5, created(1)).send(what("b"), 6, 9, answer);
        sheet.send(what("a"), 10, 12, replayed(1)).run(what("a"), 1).letter(what("b"))
    };
    for answer in refusals {
        sheet(answer.clone()).violates(I4, "although every check was made");
        sheet(answer).violates(I3, "every request of it was refused");
    }
    for answer in [unavailable(), nothing(), refused(500, "internal")] {
        let verdict = sheet(answer).verdict();
        let blamed = |words: &str| verdict.violations.iter().any(|violation| violation.text.contains(words));
        assert!(!blamed("although every check was made") && !blamed("every request of it was refused"), "{verdict}");
    }
}

/// One answer of a hundred; or ten, where a thousand are not sent.
#[test]
fn few_checks_may_be_deferred_for_no_reason() {
    const WORDS: &str = "while nothing was wrong with Redis";
    Sheet::new().keys("d", 10, 0, deferred).holds();
    Sheet::new().keys("d", 11, 0, deferred).violates(I4, WORDS);
    Sheet::new().keys("d", 11, 0, deferred).keys("c", 1089, 0, created).holds();
    Sheet::new().keys("d", 11, 0, deferred).keys("c", 1088, 0, created).violates(I4, WORDS);
}

/// Redis was out for a second: at whichever gateway it was, and no longer.
#[test]
fn a_breaker_that_does_not_close_is_no_outage() {
    const WORDS: &str = "while nothing was wrong with Redis";
    let outage = |count| Sheet::new().note(UNCHECKED, 0, 1000).keys("d", count, 0, deferred);
    // The last of them is begun when it is over, to the millisecond.
    outage(11).holds();
    outage(21).holds();
    outage(22).violates(I4, WORDS);
    Sheet::new().note_since(UNCHECKED, 0).keys("d", 100, 0, deferred).holds();
    // Every note but the right one.
    let others = [Event::Unchecked { gateway: 1 }, CATALOG, FORGOT, Event::StreamLost];
    let noted = others.into_iter().fold(Sheet::new(), |sheet, event| sheet.note(event, 0, 60_000));
    noted.keys("d", 11, 0, deferred).violates(I4, WORDS);
}

/// What was accepted before every gateway knew that the stream was another may be gone with it.
#[test]
fn a_lost_stream_takes_what_was_under_way_and_nothing_later() {
    const LOST: &str = "neither run nor dead letter";
    let lost =
        |begun, ended| Sheet::new().note(Event::StreamLost, 10, 20).send(what("a"), begun, ended, created(begun));
    lost(2, 5).holds();
    lost(19, 25).holds();
    lost(20, 25).violates(I3, LOST);
    Sheet::new().note_since(Event::StreamLost, 10).send(what("a"), 90, 95, created(91)).holds();
    // It was sent again since, and answered: that counts.
    lost(2, 5).send(what("a"), 21, 23, replayed(2)).violates(I3, LOST);

    // Two: between them nothing is certain yet, in whichever order they are noted.
    for [one, two] in [[(10, 20), (50, 60)], [(50, 60), (10, 20)]] {
        let notes = || Sheet::new().note(Event::StreamLost, one.0, one.1).note(Event::StreamLost, two.0, two.1);
        notes().send(what("a"), 30, 35, created(31)).holds();
        notes().send(what("a"), 60, 65, created(61)).violates(I3, LOST);
    }
}

/// What is sent again after a stream was lost: what was accepted, and is neither there nor certain to be.
#[test]
fn what_a_lost_stream_has_taken_is_sent_again() {
    let sheet = Sheet::new().note(Event::StreamLost, 10, 20);
    // Taken; and one that another has overtaken.
    let sheet = sheet.send_as("taken", what("a"), 2, 5, created(3));
    let sheet = sheet.send_as("k", what("a"), 2, 5, created(3)).send_as("k", what("b"), 30, 35, deferred(31));
    let sheet = sheet.run(what("b"), 31);
    // There; never accepted; and lost by somebody else.
    let sheet =
        sheet.send_as("there", what("a"), 2, 5, created(3)).row(what("a"), 3, |row| row.key = "there".to_owned());
    let sheet = sheet.send_as("refused", what("a"), 2, 5, unavailable());
    let sheet = sheet.send_as("lost", what("a"), 30, 35, created(31));
    let payload = |name: &str| what(name).payload;
    assert_eq!(sheet.missing(), [("k".to_owned(), payload("a")), ("taken".to_owned(), payload("a"))]);
    let figures = sheet.verdict().figures;
    assert_eq!((figures.gone_with_the_stream, figures.lost, figures.conflicts_accepted), (2, 1, 1));
}

/// The figures that say "lost 0" say what was excused, too.
#[test]
fn what_is_excused_is_shown() {
    let taken = Answer::Accepted { code: 202, run: Uuid::from_u128(2), timestamp: at(3), deferred: false };
    let sheet = Sheet::new().note(Event::StreamLost, 10, 20).send_as("taken", what("a"), 2, 5, taken);
    let sheet = sheet.send(what("a"), 2, 5, created(3)).send(what("b"), 6, 9, deferred(7)).run(what("a"), 3);
    let verdict = sheet.letter(what("b")).verdict();
    assert!(verdict.is_clean(), "{verdict}");
    let shown = verdict.to_string();
    assert!(shown.contains("of 3 deliveries accepted: lost 0, doubled 0\n"), "{shown}");
    assert!(
        shown.contains("gone with a stream that was lost: 1; accepted beside another under their key: 1; "),
        "{shown}"
    );
    assert!(shown.contains("of 3 checks 1 deferred for no known reason\n"), "{shown}");
}
