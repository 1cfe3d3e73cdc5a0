//! A mutant that survives fails the build; so does one that only other properties notice than those that are there for it.

use model::check;
use model::mutants::Mutation;
use model::protocol::Protocol;

/// Looks within narrow bounds first: most are caught there.
fn caught(mutation: Mutation) {
    let (names, case) = mutation.caught_by();
    let mut survived = names.to_vec();
    for (requests, stream_losses) in [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)] {
        let targets_go = mutation.is_about_targets();
        let protocol =
            Protocol { requests, stream_losses, targets_go, mutation: Some(mutation), ..Protocol::new(case) };
        let verdict = check::breaks(protocol, &survived);
        eprintln!("{requests} requests, {stream_losses} losses: {verdict}");
        survived.retain(|name| verdict.failures.iter().all(|(failed, _)| *failed != name.text()));
        if survived.is_empty() {
            return;
        }
    }
    panic!("{mutation:?} is not caught by {survived:?}");
}

macro_rules! mutants {
    ($($test:ident: $mutation:ident,)*) => {
        $(#[test] fn $test() { caught(Mutation::$mutation) })*

        #[test]
        fn each_has_its_test() {
            assert_eq!(Mutation::ALL, [$(Mutation::$mutation),*]);
        }
    };
}

mutants! {
    drawn_run_id: DrawnRunId,
    run_id_without_scope: RunIdWithoutScope,
    fingerprint_without_playbook: FingerprintWithoutPlaybook,
    claim_without_fingerprint: ClaimWithoutFingerprint,
    help_without_publish: HelpWithoutPublish,
    help_waits_for_owner: HelpWaitsForOwner,
    answer_before_pub_ack: AnswerBeforePubAck,
    mark_before_pub_ack: MarkBeforePubAck,
    mark_flips_state_only: MarkFlipsStateOnly,
    mark_outlives_stream: MarkOutlivesStream,
    mark_names_later_stream: MarkNamesLaterStream,
    deferred_is_marked: DeferredIsMarked,
    message_id_from_run_id: MessageIdFromRunId,
    consumer_outlives_stream: ConsumerOutlivesStream,
    ack_before_commit: AckBeforeCommit,
    first_snapshot_decides: FirstSnapshotDecides,
    any_run_is_duplicate: AnyRunIsDuplicate,
    dead_letter_does_not_settle: DeadLetterDoesNotSettle,
    insert_raises_the_dead: InsertRaisesTheDead,
    dead_letter_is_not_unique: DeadLetterIsNotUnique,
    buries_beside_inserts: BuriesBesideInserts,
    stream_forgets: StreamForgets,
}
