//! The broker's side: which sequences the stream holds.

use std::time::Duration;

use async_nats::jetstream::{
    Context, ErrorCode,
    response::Response,
    stream::{Info, State},
};
use proto::{StreamEpoch, queue::STREAM};

use tokio::time::sleep;

use super::ranges::Ranges;
use crate::Error;

/// How often a look is tried, and the pause between: while messages come and go the two need not be of one moment.
const LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// The stream at one moment. A replica that lags shows an earlier moment, which is as good.
pub(super) struct Seen {
    pub(super) epoch: i64,
    /// The last sequence that was ever given to a message; 0 where there was none.
    pub(super) last: i64,
    /// The first that is still there.
    first: i64,
    /// Sequences after the first that are not there, in order.
    absent: Vec<i64>,
}

impl Seen {
    /// Looks; none where there is no stream. What does not add up by itself is looked at again, and not believed.
    pub(super) async fn look(context: &Context) -> Result<Option<Self>, Error> {
        for _ in 1..LOOKS {
            match Self::look_once(context).await {
                Err(Error::Unavailable(_)) => sleep(PAUSE).await,
                looked => return looked,
            }
        }
        Self::look_once(context).await
    }

    async fn look_once(context: &Context) -> Result<Option<Self>, Error> {
        let request = serde_json::json!({ "deleted_details": true });
        let answer = context.request(format!("STREAM.INFO.{STREAM}"), &request).await;
        match answer.map_err(|error| Error::Unavailable(format!("NATS: {}", error.kind())))? {
            Response::Ok(Info { created, state, .. }) => {
                let epoch = StreamEpoch::from_unix_nanos(created.unix_timestamp_nanos());
                Self::of(number(epoch.0), state).map(Some)
            }
            Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            Response::Err { error } => Err(Error::Unavailable(format!("NATS: {error}"))),
        }
    }

    /// Refuses a list of what is not there that does not fit the count of what is: whatever it left out would be taken for
    /// waiting.
    fn of(epoch: i64, state: State) -> Result<Self, Error> {
        let last = number(state.last_sequence);
        // An empty stream has no first; servers say 0, or one after the last.
        let first = if state.messages == 0 { last + 1 } else { number(state.first_sequence) };
        let absent = state.deleted.unwrap_or_default().into_iter().map(number);
        let mut absent: Vec<i64> = absent.filter(|sequence| (first..=last).contains(sequence)).collect();
        absent.sort_unstable();
        absent.dedup();
        let there = last - first + 1 - i64::try_from(absent.len()).unwrap_or(i64::MAX);
        if there != number(state.messages) {
            let messages = state.messages;
            return Err(Error::Unavailable(format!(
                "NATS counts {messages} messages in the stream, and lists {there}"
            )));
        }
        Ok(Self { epoch, last, first, absent })
    }

    /// Those of these sequences, none of them after the last, that are not there.
    pub(super) fn lacks(&self, sequences: &Ranges) -> Ranges {
        let mut lacking = Ranges::default();
        for (from, to) in sequences.iter() {
            if from < self.first {
                lacking.push(from, to.min(self.first - 1));
            }
            let from = from.max(self.first);
            let begin = self.absent.partition_point(|sequence| *sequence < from);
            self.absent[begin..]
                .iter()
                .take_while(|sequence| **sequence <= to)
                .for_each(|one| lacking.push(*one, *one));
        }
        lacking
    }
}

/// As Postgres keeps sequences and epochs.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(state: serde_json::Value) -> Result<Seen, Error> {
        Seen::of(1, serde_json::from_value(state).expect("a state"))
    }

    #[test]
    fn a_list_that_does_not_fit_the_count_is_not_believed() {
        let state = |messages: u64, deleted: &[u64]| {
            serde_json::json!({ "messages": messages, "bytes": 0, "first_seq": 3, "last_seq": 9, "consumer_count": 1,
                "first_ts": "2026-01-01T00:00:00Z", "last_ts": "2026-01-01T00:00:00Z", "deleted": deleted })
        };
        let seen = of(state(5, &[8, 5])).unwrap_or_else(|error| panic!("{error}"));
        let all: Ranges = [(1, 9)].into_iter().collect();
        assert_eq!(seen.lacks(&all), [(1, 2), (5, 5), (8, 8)].into_iter().collect());
        for (messages, deleted) in [(5, [].as_slice()), (5, &[5]), (5, &[2, 5]), (5, &[5, 5]), (4, &[5, 8])] {
            assert!(matches!(of(state(messages, deleted)), Err(Error::Unavailable(_))), "{messages} {deleted:?}");
        }
        assert_eq!(of(state(0, &[])).map(|seen| seen.first).ok(), Some(10));
    }
}
