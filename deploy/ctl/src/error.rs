//! What can go wrong, as the operator and the operator's scripts see it.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use tokio_postgres::error::SqlState;

/// Why a command did not do its work. The text may have several lines, each a problem of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bad arguments or configuration.
    #[error("{0}")]
    Usage(String),
    /// The file or the stdin that was given to be read is not what it should be: one line for each problem.
    #[error("{}", .0.join("\n"))]
    Input(Vec<String>),
    /// The command was understood, and what it was asked for is not so, or not to be had.
    #[error("{0}")]
    Failed(String),
    /// A server that it takes cannot be reached, or does not do its work. Says nothing of what was asked, neither well nor
    /// ill.
    #[error("{0}")]
    Unavailable(String),
}

impl Error {
    /// The process' exit code, after BSD's `sysexits.h`: 64 is EX_USAGE, 65 is EX_DATAERR, 69 is EX_UNAVAILABLE.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Input(_) => 65,
            Self::Failed(_) => 1,
            Self::Unavailable(_) => 69,
        }
    }
}

impl From<clap::Error> for Error {
    /// In one line, and without the argument that was wrong: it may be a secret in the wrong place (I7). Only what
    /// starts with a dash is a flag, and shown.
    fn from(error: clap::Error) -> Self {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.as_str(),
            _ => "an argument",
        };
        let argument = text(ContextKind::InvalidArg);
        let problem = match error.kind() {
            ErrorKind::UnknownArgument if argument.starts_with("--") => {
                format!("there is no {}", argument.split('=').next().unwrap_or_default())
            }
            ErrorKind::UnknownArgument => "one argument too many".to_owned(),
            ErrorKind::ValueValidation => match std::error::Error::source(&error) {
                Some(reason) => format!("{argument}: {reason}"),
                None => format!("{argument} is not what is expected"),
            },
            ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) if !valid.is_empty() => {
                    format!("{argument}: expected {}", valid.join(" or "))
                }
                _ => format!("{argument}: a value is missing"),
            },
            ErrorKind::MissingRequiredArgument => match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(missing)) => format!("missing: {}", missing.join(", ")),
                _ => "an argument is missing".to_owned(),
            },
            ErrorKind::InvalidSubcommand => "there is no such command".to_owned(),
            ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                "no command was given".to_owned()
            }
            kind => kind.to_string(),
        };
        Self::Usage(format!("{problem} (see --help)"))
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        // At fault is what was to be written, or another transaction that was in the way: the session goes on.
        let by_itself = error.code().is_some_and(|code| {
            let (code, class) = (code.code(), &code.code()[..2]);
            ["22", "23", "40", "P0"].contains(&class) || ["54001", "55P03"].contains(&code)
        });
        if by_itself { Self::Failed(describe(&error)) } else { Self::Unavailable(describe(&error)) }
    }
}

/// Message and code of a database error with what to do about it, or the chain of causes where there is no such.
/// Never the detail, which can quote rows.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    let Some(error) = error.as_db_error() else {
        let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        return causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    };
    let advice = match *error.code() {
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN => {
            "; the schema is not there or not up to date: run `runlatch migrate`"
        }
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "; DATABASE_URL must log in with the role runlatch_operator, for `migrate` as the database's owner"
        }
        SqlState::LOCK_NOT_AVAILABLE => "; somebody else is at work on it: try again",
        _ => "",
    };
    format!("Postgres: {} (SQLSTATE {}){advice}", error.message(), error.code().code())
}
