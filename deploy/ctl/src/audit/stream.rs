//! The broker's side: which sequences the stream holds.

use async_nats::jetstream::{
    Context, ErrorCode,
    response::Response,
    stream::{Info, State},
};
use proto::{StreamEpoch, queue::STREAM};

use super::ranges::Ranges;
use crate::Error;

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
    /// Looks; none where there is no stream.
    pub(super) async fn look(context: &Context) -> Result<Option<Self>, Error> {
        let request = serde_json::json!({ "deleted_details": true });
        let answer = context.request(format!("STREAM.INFO.{STREAM}"), &request).await;
        match answer.map_err(|error| Error::Failed(format!("NATS: {}", error.kind())))? {
            Response::Ok(Info { created, state, .. }) => {
                let epoch = StreamEpoch::from_unix_nanos(created.unix_timestamp_nanos());
                Ok(Some(Self::of(number(epoch.0), state)))
            }
            Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            Response::Err { error } => Err(Error::Failed(format!("NATS: {error}"))),
        }
    }

    fn of(epoch: i64, state: State) -> Self {
        let last = number(state.last_sequence);
        // An empty stream has no first; servers say 0, or one after the last.
        let first = if state.messages == 0 { last + 1 } else { number(state.first_sequence) };
        let mut absent: Vec<i64> = state.deleted.unwrap_or_default().into_iter().map(number).collect();
        absent.sort_unstable();
        Self { epoch, last, first, absent }
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
