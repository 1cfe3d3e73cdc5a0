//! `runlatch audit`, as a second opinion that rests on other evidence: the stream's own numbers.

use anyhow::{Result, bail};
use local::{Role, Stack};

use crate::verdict::{Invariant, Violation};

/// Exit code of an audit that could not look.
const UNAUDITED: i32 = 69;

/// What the audit of a stack finds wrong; of the current stream alone, where an earlier one was lost on purpose.
pub async fn audit(stack: &Stack, current_alone: bool) -> Result<Vec<Violation>> {
    match look(stack, current_alone).await? {
        (Some(0), _) => Ok(vec![]),
        (Some(1), text) => Ok(vec![violation(text)]),
        (_, text) => bail!("`runlatch audit` could not look: {text}"),
    }
}

/// The same while parts are out: that it cannot look is no wonder then, but what it says must be true.
pub async fn audit_meanwhile(stack: &Stack, current_alone: bool) -> Option<Violation> {
    match look(stack, current_alone).await {
        Ok((Some(0 | UNAUDITED), _)) => None,
        Ok((_, text)) => Some(violation(format!("while it was under way: {text}"))),
        Err(error) => Some(violation(format!("{error:#}"))),
    }
}

/// Exit code, and what was said.
async fn look(stack: &Stack, current_alone: bool) -> Result<(Option<i32>, String)> {
    let epoch = if current_alone { "current" } else { "all" };
    let output = stack.runlatch_as(Role::Operator, &["audit", "--count-runs", "--epoch", epoch], "").await?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok((output.status.code(), format!("{}\n{}", said(&output.stdout), said(&output.stderr))))
}

fn violation(text: String) -> Violation {
    Violation { invariant: Invariant::Audit, key: None, text }
}
