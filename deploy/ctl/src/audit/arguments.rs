//! The arguments.

use std::str::FromStr;

use clap::{Args, Subcommand};

use super::ranges::Ranges;

#[derive(Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(super) command: Option<AuditCommand>,
    /// NATS, one or more servers of a cluster, comma-separated.
    #[arg(long, env = "NATS_URL", hide_env_values = true, global = true, value_name = "URL")]
    pub(super) nats_url: Option<String>,
    /// Which incarnation of the stream: `current`, `all`, or one by its epoch.
    #[arg(long, default_value = "all", value_name = "EPOCH")]
    pub(super) epoch: Epochs,
    /// Count the rows of `runs` too, which reads the whole of it. Not where runs are pruned.
    #[arg(long)]
    pub(super) count_runs: bool,
    /// One JSON object, for scripts.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Say that something an audit reports has been dealt with, so that it reports it no more.
    Acknowledge {
        /// The stream's epoch, as the audit shows it.
        #[arg(value_parser = epoch)]
        epoch: i64,
        /// Sequences that the audit reports, such as 3-5,9. Without them the whole stream, which must be one that was lost.
        sequences: Option<Ranges>,
        /// Why, for those who come after.
        #[arg(long)]
        note: String,
    },
}

/// Which streams are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Epochs {
    All,
    Current,
    One(i64),
}

impl Epochs {
    pub(super) fn include(self, epoch: i64, current: i64) -> bool {
        match self {
            Self::All => true,
            Self::Current => epoch == current,
            Self::One(one) => epoch == one,
        }
    }
}

impl FromStr for Epochs {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "all" => Ok(Self::All),
            "current" => Ok(Self::Current),
            text => epoch(text).map(Self::One).map_err(|_| "expected current, all, or an epoch as the audit shows it"),
        }
    }
}

fn epoch(text: &str) -> Result<i64, &'static str> {
    text.parse().ok().filter(|epoch| *epoch > 0).ok_or("expected an epoch, as the audit shows it")
}

pub(crate) const HELP: &str = "\
Exit code 0 where everything adds up, 1 where it does not, 69 where it could not be looked at, 64 for bad usage. Postgres must be \
the primary: a standby may be behind, so that is 69 as well.

A stream that was lost is reported until it is acknowledged, gaps or not: nobody can know what it still held. What was in it
comes back by its senders' retries.";
