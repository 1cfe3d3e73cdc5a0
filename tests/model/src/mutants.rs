//! Protocols that are wrong in one point each. The model is worth something only if it tells each of them from the right
//! one, by the property that the point is there for.

use crate::delivery::Case;
use crate::properties::Name;

/// One wrong point.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutation {
    /// A run id is drawn for each request that claims a key.
    DrawnRunId,
    /// A run id is computed from the key alone.
    RunIdWithoutScope,
    /// A fingerprint covers the payload, not the playbook.
    FingerprintWithoutPlaybook,
    /// A claim is not asked whose it is.
    ClaimWithoutFingerprint,
    /// A retry of what is claimed is answered 200, and nothing is published.
    HelpWithoutPublish,
    /// A retry of what is claimed waits until the owner has published.
    HelpWaitsForOwner,
    /// 202 before the PubAck.
    AnswerBeforePubAck,
    /// The claim is marked before the PubAck.
    MarkBeforePubAck,
    /// A mark changes the state of whatever claim is there, not its whole value.
    MarkFlipsStateOnly,
    /// A mark of a stream that was lost is believed.
    MarkOutlivesStream,
    /// A mark names the stream known when the PubAck came, not when the message left.
    MarkNamesLaterStream,
    /// A delivery that Redis was not asked about is marked too.
    DeferredIsMarked,
    /// The broker's message id is computed from the run ids in the message.
    MessageIdFromRunId,
    /// The consumer has one name for all streams: an ack of a message settles the one of its number in the next stream.
    ConsumerOutlivesStream,
    /// The ack goes out before COMMIT.
    AckBeforeCommit,
    /// What became of a delivery is decided by the snapshot of the insert.
    FirstSnapshotDecides,
    /// What was not inserted is a duplicate.
    AnyRunIsDuplicate,
    /// A redelivery of what is buried fails on the unique index, again and again.
    DeadLetterDoesNotSettle,
    /// The insert does not look whether a delivery was buried.
    InsertRaisesTheDead,
    /// Dead letters have no unique index.
    DeadLetterIsNotUnique,
    /// What has no target is buried beside those who insert.
    BuriesBesideInserts,
    /// Not the protocol but what it relies on: the stream forgets a message that it acknowledged, and keeps its epoch.
    StreamForgets,
}

impl Mutation {
    /// All.
    pub const ALL: [Self; 22] = [
        Self::DrawnRunId,
        Self::RunIdWithoutScope,
        Self::FingerprintWithoutPlaybook,
        Self::ClaimWithoutFingerprint,
        Self::HelpWithoutPublish,
        Self::HelpWaitsForOwner,
        Self::AnswerBeforePubAck,
        Self::MarkBeforePubAck,
        Self::MarkFlipsStateOnly,
        Self::MarkOutlivesStream,
        Self::MarkNamesLaterStream,
        Self::DeferredIsMarked,
        Self::MessageIdFromRunId,
        Self::ConsumerOutlivesStream,
        Self::AckBeforeCommit,
        Self::FirstSnapshotDecides,
        Self::AnyRunIsDuplicate,
        Self::DeadLetterDoesNotSettle,
        Self::InsertRaisesTheDead,
        Self::DeadLetterIsNotUnique,
        Self::BuriesBesideInserts,
        Self::StreamForgets,
    ];

    /// The properties that must catch it, each by itself, and in which case.
    pub fn caught_by(self) -> (&'static [Name], Case) {
        use Case::{OrganizationScope, PlaybookScope, TwoPayloads};
        use Name::{ComesToRest, NeverBoth, NeverNeither, NoConflictWithItself, OneAnswer, OneName, OneRun};
        match self {
            Self::DrawnRunId => (&[OneRun, OneName], TwoPayloads),
            Self::RunIdWithoutScope => (&[NoConflictWithItself], PlaybookScope),
            Self::FingerprintWithoutPlaybook => (&[OneAnswer, NeverNeither], OrganizationScope),
            Self::ClaimWithoutFingerprint => (&[OneAnswer, NeverNeither], TwoPayloads),
            Self::HelpWithoutPublish => (&[NeverNeither], TwoPayloads),
            Self::HelpWaitsForOwner => (&[ComesToRest], TwoPayloads),
            Self::AnswerBeforePubAck => (&[NeverNeither], TwoPayloads),
            Self::MarkBeforePubAck => (&[NeverNeither], TwoPayloads),
            Self::MarkFlipsStateOnly => (&[NeverNeither], TwoPayloads),
            Self::MarkOutlivesStream => (&[NeverNeither], TwoPayloads),
            Self::MarkNamesLaterStream => (&[NeverNeither], TwoPayloads),
            Self::DeferredIsMarked => (&[OneAnswer], TwoPayloads),
            Self::MessageIdFromRunId => (&[NeverNeither], TwoPayloads),
            Self::ConsumerOutlivesStream => (&[NeverNeither], TwoPayloads),
            Self::AckBeforeCommit => (&[NeverNeither], TwoPayloads),
            Self::FirstSnapshotDecides => (&[NeverBoth], TwoPayloads),
            Self::AnyRunIsDuplicate => (&[NeverNeither], TwoPayloads),
            Self::DeadLetterDoesNotSettle => (&[ComesToRest], TwoPayloads),
            Self::InsertRaisesTheDead => (&[NeverBoth], TwoPayloads),
            Self::DeadLetterIsNotUnique => (&[NeverBoth], TwoPayloads),
            Self::BuriesBesideInserts => (&[NeverBoth], TwoPayloads),
            Self::StreamForgets => (&[NeverNeither], TwoPayloads),
        }
    }

    /// Whether it shows only where targets go and return.
    pub fn is_about_targets(self) -> bool {
        matches!(self, Self::InsertRaisesTheDead | Self::BuriesBesideInserts)
    }
}
