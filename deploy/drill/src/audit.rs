//! `runlatch audit`, as a second opinion that rests on other evidence: the stream's own numbers.

use anyhow::{Result, bail};
use local::{Role, Stack};

use crate::verdict::{Invariant, Violation};

/// What the audit of a stack finds wrong; of the current stream alone, where an earlier one was lost on purpose.
pub async fn audit(stack: &Stack, current_alone: bool) -> Result<Vec<Violation>> {
    let args: &[&str] = if current_alone { &["audit", "--epoch", "current"] } else { &["audit", "--count-runs"] };
    let output = stack.runlatch_as(Role::Operator, args, "").await?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
    match output.status.code() {
        Some(0) => Ok(vec![]),
        Some(1) => Ok(vec![Violation { invariant: Invariant::Audit, key: None, text: format!("{stdout}\n{stderr}") }]),
        _ => bail!("`runlatch audit` could not look: {stderr}"),
    }
}
