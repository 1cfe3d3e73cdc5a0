//! The arguments.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use proto::{IdempotencyKey, InvalidKey, dead_letter::Reason};
use uuid::Uuid;

use crate::cli::PlaybookPath;

#[derive(Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List them, newest first: what they are, never what they carry.
    List {
        #[command(flatten)]
        filter: Filter,
        /// Those in this state.
        #[arg(long, default_value = "open")]
        status: Status,
        /// How many at most. Without it 100, as JSON all.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Show one whole, with its payload: mind where you paste it.
    Show {
        /// Its id, as `list` shows it.
        #[arg(value_parser = id)]
        id: Uuid,
        /// One JSON object, for scripts. The payload is a string, byte for byte what was sent, or base64.
        #[arg(long)]
        json: bool,
    },
    /// Make runs of them. Safe to repeat: what has its run already is told so. What still cannot become one stays open.
    #[command(after_help = REPLAY_HELP)]
    Replay {
        #[command(flatten)]
        which: Which,
        /// Replay it under this idempotency key, where its own names another run.
        #[arg(long, value_parser = key)]
        key: Option<IdempotencyKey>,
        /// Try it, take it back, and say what came of it.
        #[arg(long)]
        dry_run: bool,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Give them up: erases their payloads for good.
    #[command(after_help = DISCARD_HELP)]
    Discard {
        #[command(flatten)]
        which: Which,
        /// Yes, erase them.
        #[arg(long)]
        yes: bool,
        /// Say what would be erased, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
}

/// Which are meant.
#[derive(Args)]
pub(crate) struct Which {
    /// Their ids, as `list` shows them.
    #[arg(value_name = "ID", value_parser = id)]
    pub(super) ids: Vec<Uuid>,
    /// All that are open, or those of them that the filters leave; oldest first.
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) filter: Filter,
    /// With --all: how many at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: Option<u32>,
}

/// Those that are all of this.
#[derive(Args, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Buried for this reason; may be given several times, for any of them.
    #[arg(long = "reason", value_name = "REASON")]
    pub(super) reasons: Vec<Reason>,
    /// Sent to this playbook. Never a whole message (malformed_message, poison_message): nobody knows which it is for.
    #[arg(long, value_name = "ORG/PLAYBOOK")]
    pub(super) playbook: Option<PlaybookPath>,
    /// Buried longer ago than this: 90s, 1h, 7days.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(super) older_than: Option<Duration>,
    /// Buried since this long ago.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(super) newer_than: Option<Duration>,
}

/// What has become of a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Status {
    /// Nothing yet.
    Open,
    /// Its run is there.
    Replayed,
    /// It was given up.
    Discarded,
    /// Whatever.
    All,
}

/// uuid's own error quotes what it was given.
fn id(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| "expected a dead letter's id, as `dead-letters list` shows it")
}

fn key(text: &str) -> Result<IdempotencyKey, InvalidKey> {
    text.parse()
}

fn age(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "expected a duration such as 90s, 1h or 7days")
}

const REPLAY_HELP: &str = "\
By reason:
  target_not_found      the project and template that it was accepted for, or those that now have the name; where there is
                        still none it stays open
  idempotency_conflict  its key names another run: give it a --key of its own
  data_refused          tried again; where Postgres still refuses it, it stays open
  malformed_message     read again, by this version of runlatch: each delivery in the message becomes a run, is found to
  poison_message        have one, or gets a dead letter of its own. What killed workers may kill this command: harmless.
                        Where one of its deliveries has no target, all workers wait while it is replayed

A playbook that is disabled and a kill switch that is on refuse deliveries; these were accepted before, and whoever replays one
decides. So neither is looked at. --dry-run tries each as if there were no others: of two under one key it says that both would be
replayed, where in earnest the second stays open.

Each is closed in the transaction that makes its run, so it may be interrupted and repeated at any point. Exit code 1 where any
stays open, 69 where Postgres does not do its work.";

const DISCARD_HELP: &str = "\
The payload is erased; what it was, why it was buried, who gave it up and when stays, and a redelivery of the same still settles. \
What was replayed cannot be discarded: it has become a run.";
