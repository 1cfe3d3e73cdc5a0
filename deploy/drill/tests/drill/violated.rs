//! What the design does not allow is found, each kind by itself.

use drill::Invariant::{Contract, I1, I2, I3, I4, I6};
use drill::{Answer, Event, Ids, What};
use uuid::Uuid;

use crate::sheet::{CATALOG, Sheet, at, conflict, created, deferred, nothing, refused, replayed, unavailable, what};

fn accepted() -> Sheet {
    Sheet::new().send(what("a"), 0, 5, created(1))
}

const OTHER: Uuid = Uuid::from_u128(2);

#[test]
fn two_runs() {
    let second = |sheet: Sheet| sheet.row(what("a"), 1, |row| row.id = OTHER);
    second(accepted().run(what("a"), 1)).violates(I1, "has 2 runs");
    second(accepted().run(what("a"), 1)).violates(I3, "ended as 2 runs");
    let conflicting = accepted().send(what("b"), 6, 9, deferred(7)).run(what("a"), 1).run(what("b"), 7);
    conflicting.violates(I1, "has 2 runs");
}

#[test]
fn another_run_id() {
    let other = |code| Answer::Accepted { code, run: OTHER, timestamp: at(1), deferred: false };
    accepted().send(what("a"), 6, 9, other(200)).run(what("a"), 1).violates(I2, "name 2 runs");
    accepted().row(what("a"), 1, |row| row.id = OTHER).violates(I2, "name 2 runs");
    let conflict = Answer::Refused { code: 409, error: "idempotency_conflict".to_owned(), run: Some(OTHER) };
    accepted().send(what("b"), 6, 9, conflict).run(what("a"), 1).violates(I2, "name 2 runs");
    let two_keys = accepted().run(what("a"), 1).send_as("l", what("a"), 0, 5, created(1));
    two_keys.row(what("a"), 1, |row| row.key = "l".to_owned()).violates(I2, "as key k of acme does");
}

#[test]
fn lost() {
    accepted().violates(I3, "neither run nor dead letter");
    Sheet::new().send(what("a"), 0, 5, deferred(1)).violates(I3, "neither run nor dead letter");
    Sheet::new().send(what("a"), 0, 1, nothing()).send(what("a"), 2, 3, replayed(1)).violates(I3, "neither");
    // Another delivery has the key, and this one is no dead letter.
    let second = accepted().send(what("b"), 6, 9, deferred(7)).run(what("a"), 1);
    second.violates(I3, "what is there is another delivery");
    // A stream was lost before, and what was accepted since is not excused.
    let since = Sheet::new().note(Event::StreamLost, 0, 3).send(what("a"), 4, 5, created(4));
    since.violates(I3, "neither run nor dead letter");
}

/// What was lost with a stream is excused, what is there twice is not: neither is "nothing doubled".
#[test]
fn doubled_where_a_stream_was_lost() {
    let lost = || accepted().note(Event::StreamLost, 6, 20).run(what("a"), 1);
    lost().letter(what("a")).violates(I3, "ended as 1 runs and 1 dead letters");
    lost().run(what("a"), 1).violates(I3, "ended as 2 runs");
}

#[test]
fn changed() {
    accepted().row(what("a"), 1, |row| row.payload.push(' ')).violates(I3, "a run is not what was sent");
    accepted().row(what("a"), 1, |row| row.ids.project = Uuid::nil()).violates(I3, "a run is not what was sent");
    accepted().row(what("a"), 1, |row| row.ids.template = Uuid::nil()).violates(I3, "a run is not what was sent");
    accepted().row(what("a"), 1, |row| row.ids.organization = Uuid::nil()).violates(I3, "a run is not what was sent");
    accepted().row(what("a"), 1, |row| row.fingerprint[0] ^= 1).violates(I3, "a run is not what was sent");
    accepted()
        .row(what("a"), 1, |row| row.ids.playbook = Uuid::from_u128(12))
        .violates(I3, "a run is not what was sent");
    accepted().row(what("a"), 1, |row| row.key = "l".to_owned()).violates(I3, "was never sent");
    accepted().row(what("a"), 1, |row| row.ids.playbook = Uuid::nil()).violates(I3, "of no playbook sent to");
    let named = What { project: Some("main".to_owned()), ..what("a") };
    accepted().run(named, 1).violates(I3, "a run is not what was sent");
    let buried = || accepted().send(what("b"), 6, 9, deferred(7)).run(what("a"), 1);
    buried().buried(what("b"), |letter| letter.payload.push(b' ')).violates(I3, "a dead letter is not what was sent");
    buried().buried(what("b"), |letter| letter.project = Some("side".to_owned())).violates(I3, "dead letter is not");
    buried().buried(what("b"), |letter| letter.fingerprint[0] ^= 1).violates(I3, "dead letter is not");
    for spoil in [
        |ids: &mut Ids| ids.organization = Uuid::nil(),
        |ids: &mut Ids| ids.project = Uuid::nil(),
        |ids: &mut Ids| ids.template = Uuid::nil(),
    ] {
        let spoilt = buried().buried(what("b"), |letter| spoil(letter.ids.as_mut().unwrap()));
        spoilt.violates(I3, "a dead letter is not what was sent");
    }
    buried().buried(what("b"), |letter| letter.accepted_at = at(1)).violates(Contract, "its dead letter was accepted");
}

#[test]
fn made_up() {
    accepted().run(what("a"), 1).row(what("b"), 1, |row| row.key = "l".to_owned()).violates(I3, "was never sent");
    let refused_only = Sheet::new().send(what("a"), 0, 5, refused(404, "not_found")).run(what("a"), 1);
    refused_only.violates(I3, "every request of it was refused");
    let conflicted = accepted().send(what("b"), 6, 9, conflict()).run(what("a"), 1).letter(what("b"));
    conflicted.violates(I3, "every request of it was refused");
}

#[test]
fn dead_letters_without_a_reason() {
    accepted().letter(what("a")).violates(I3, "there is none");
    accepted().run(what("a"), 1).letter(what("a")).violates(I3, "ended as 1 runs and 1 dead letters");
    let refused = |letter: &mut drill::Letter| letter.reason = "data_refused".to_owned();
    accepted().buried(what("a"), refused).violates(I3, "for no good reason: data_refused");
    let whole = |letter: &mut drill::Letter| (letter.key, letter.ids) = (None, None);
    accepted().run(what("a"), 1).buried(what("a"), whole).violates(I3, "buried whole");
}

#[test]
fn two_that_have_the_key() {
    let both = || accepted().send(what("b"), 6, 9, created(7)).run(what("a"), 1).letter(what("b"));
    both().violates(I4, "2 deliveries were accepted");
    both().violates(I4, "although every check was made");
    // Redis forgot, but only after both; or before either.
    both().note(Event::Forgot, 10, 11).violates(I4, "2 deliveries were accepted");
    let before = Sheet::new().note(Event::Forgot, 0, 1).send(what("a"), 2, 5, created(3));
    let before = before.send(what("b"), 6, 9, created(7)).run(what("a"), 3).letter(what("b"));
    before.violates(I4, "2 deliveries were accepted");
    // A target is as much a part of a delivery as its payload; and so is, in this scope, its playbook.
    for other in [What { project: Some("main".to_owned()), ..what("a") }, What { place: 1, ..what("a") }] {
        let sheet = accepted().send(other.clone(), 6, 9, created(7)).run(what("a"), 1).letter(other);
        sheet.violates(I4, "2 deliveries were accepted");
    }
    accepted().send(what("a"), 6, 9, created(7)).run(what("a"), 1).violates(I4, "as new more than once");
}

#[test]
fn a_conflict_with_nothing() {
    let sheet = accepted().run(what("a"), 1).send_as("l", what("a"), 0, 5, conflict());
    sheet.violates(I4, "nothing else was sent");
    // The other one came later, or was refused itself.
    let later = Sheet::new().send(what("a"), 0, 5, conflict()).send(what("b"), 6, 9, created(7)).run(what("b"), 7);
    later.violates(I4, "nothing else was sent");
    let refused = Sheet::new().send(what("a"), 0, 5, refused(401, "invalid_secret")).send(what("b"), 6, 9, conflict());
    refused.violates(I4, "nothing else was sent");
    let retried = accepted().send(what("b"), 1, 4, conflict()).send(what("a"), 6, 9, conflict()).run(what("a"), 1);
    retried.violates(I4, "its retry was answered 409");
}

#[test]
fn what_answers_say() {
    let ran = |sheet: Sheet| sheet.run(what("a"), 1);
    ran(accepted().send(what("a"), 6, 9, replayed(7))).violates(Contract, "2 timestamps");
    accepted().run(what("a"), 3).violates(Contract, "which no answer says");
    // Nor is it that of the request without an answer, which came much later.
    let later = accepted().send(what("a"), 60_000, 60_005, nothing()).run(what("a"), 3);
    later.violates(Contract, "which no answer says");
    // Or long after it was answered.
    let between = Sheet::new().send(what("a"), 0, 5, unavailable()).send(what("a"), 60_000, 60_005, created(60_001));
    between.run(what("a"), 30_000).violates(Contract, "which no answer says");
    ran(Sheet::new().send(what("a"), 0, 5, replayed(1))).violates(Contract, "nobody had sent");
    ran(accepted().send(what("a"), 6, 9, refused(500, "internal"))).violates(Contract, "500 internal");
    ran(accepted().send(what("a"), 6, 9, refused(401, "invalid_secret"))).violates(Contract, "401 invalid_secret");
    ran(accepted().send(what("a"), 6, 9, refused(503, "later"))).violates(Contract, "503 later");
    ran(accepted().send(what("a"), 6, 9, refused(429, "slow_down"))).violates(Contract, "429 slow_down");
    ran(accepted().send(what("a"), 6, 9, refused(408, "request_timeout"))).violates(Contract, "408 request_timeout");
    ran(accepted().send(what("b"), 6, 9, refused(409, "conflict"))).violates(Contract, "409 conflict");
    // Where the catalog changes, only in the words that there are for it.
    let changing = accepted().note(CATALOG, 0, 10).send(what("a"), 6, 9, refused(404, "gone"));
    ran(changing).violates(Contract, "404 gone");
    ran(accepted().send(what("a"), 6, 9, Answer::Wrong("202 without".to_owned()))).violates(Contract, "202 without");
    let nameless = Answer::Refused { code: 409, error: "idempotency_conflict".to_owned(), run: None };
    ran(accepted().send(what("b"), 6, 9, nameless)).violates(Contract, "does not name the run");
}

#[test]
fn never_accepted() {
    Sheet::new().send(what("a"), 0, 5, unavailable()).violates(I6, "never a definite answer");
    Sheet::new().send(what("a"), 0, 5, nothing()).run(what("a"), 1).violates(I6, "never a definite answer");
}
