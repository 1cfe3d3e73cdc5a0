//! What can be wrong with Postgres, in words that may be shown.

use deadpool_postgres::PoolError;

/// Why nothing was committed, or nothing is known to have been. Its text is what may be shown: places and codes, never
/// Postgres' own words, which quote rows (I7).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Trouble {
    /// An error that Postgres answered: SQLSTATE, and the constraint it named.
    #[error("SQLSTATE {state}{}", constraint.as_ref().map(|name| format!(" ({name})")).unwrap_or_default())]
    Sql {
        /// SQLSTATE.
        state: String,
        /// Name of the constraint, where one was named.
        constraint: Option<String>,
    },
    /// The connection could not be made, or broke.
    #[error("no connection: {0}")]
    Connection(String),
    /// No answer in time.
    #[error("no answer in time")]
    Slow,
    /// A row that could be neither inserted nor found: its rival has gone in between, or a trigger drops it.
    #[error("the rows changed under the transaction")]
    Unsettled,
}

impl Trouble {
    /// SQLSTATE where Postgres refuses this row's data rather than being unwell: class 22 (data exception), class 23
    /// (integrity constraint), or 54001 (too deep for its parser).
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Sql { state, .. } if state.starts_with("22") || state.starts_with("23") || state == "54001" => {
                Some(state)
            }
            _ => None,
        }
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        use std::error::Error as _;
        if let Some(db) = error.as_db_error() {
            return Self::Sql { state: db.code().code().to_owned(), constraint: db.constraint().map(str::to_owned) };
        }
        let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        Self::Connection(match io {
            Some(io) => io.kind().to_string(),
            None if error.is_closed() => "closed".to_owned(),
            None => "broken".to_owned(),
        })
    }
}

impl From<PoolError> for Trouble {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => Self::Slow,
            _ => Self::Connection("the pool is closed".to_owned()),
        }
    }
}
