//! Names and numbers of the JetStream queue.

/// The stream that holds every accepted delivery until it is settled.
pub const STREAM: &str = "RUNS";

/// What the stream listens to. `v1` is the envelope's major version.
pub const SUBJECTS: &str = "runs.v1.*";

/// Name of the durable consumer that all workers share: `workers-<epoch>`.
///
/// An ack names stream and consumer, not the stream's incarnation. Under a fixed name, an ack for message 1 of a stream
/// that was lost would settle message 1 of its successor, which nobody has seen yet (I3); nats-server 2.9.10 does so.
pub fn consumer(epoch: StreamEpoch) -> String {
    format!("{CONSUMER_PREFIX}{epoch}")
}

/// The incarnation of the stream that a consumer of ours is of.
pub fn epoch_of_consumer(name: &str) -> Option<StreamEpoch> {
    name.strip_prefix(CONSUMER_PREFIX)?.parse().ok().map(StreamEpoch)
}

const CONSUMER_PREFIX: &str = "workers-";

/// Header of a message: how many deliveries it carries, so that a queue can be counted without being read.
pub const COUNT_HEADER: &str = "Runlatch-Count";

/// Subject of a partition. There is one today, 0.
pub fn subject(partition: u16) -> String {
    format!("runs.v1.{partition}")
}

/// Where the broker tells what happens to the stream ([JetStream advisories]).
///
/// [JetStream advisories]: https://docs.nats.io/running-a-nats-service/nats_admin/monitoring/monitoring_jetstream
pub fn advisories() -> String {
    format!("$JS.EVENT.ADVISORY.STREAM.*.{STREAM}")
}

/// Whether an advisory with this subject tells that the stream was made or deleted. After any other, such as of new
/// settings or another leader, it is the one that it was.
pub fn tells_of_recreation(advisory: &str) -> bool {
    [".CREATED.", ".DELETED."].iter().any(|kind| advisory.contains(kind))
}

/// Which incarnation of the stream: its creation time in microseconds since the Unix epoch, 0 while unknown.
///
/// A stream that was lost and made anew has another epoch, so marks from before it are worth no more than claims.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StreamEpoch(pub u64);

impl StreamEpoch {
    /// No stream has been seen yet. Equal to no stream's epoch.
    pub const UNKNOWN: Self = Self(0);

    /// From the creation time that the server reports, in nanoseconds since the Unix epoch.
    pub fn from_unix_nanos(nanos: i128) -> Self {
        Self(u64::try_from(nanos / 1000).unwrap_or(0))
    }
}

impl std::fmt::Display for StreamEpoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
