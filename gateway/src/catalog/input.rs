//! Compiles input schemas, those that are new: a schema may take a millisecond, and a catalog may have thousands.

use std::collections::HashMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use schema::{InputSchema, Mode};

use super::snapshot::{Input, Snapshot};

/// What was compiled before, by its text.
pub(super) struct Compiler<'a>(HashMap<&'a str, &'a Input>);

impl<'a> Compiler<'a> {
    pub(super) fn knowing(before: &'a Snapshot) -> Self {
        let playbooks = before.organizations.values().flat_map(|organization| organization.playbooks.values());
        Self(playbooks.filter_map(|playbook| playbook.input.as_ref()).map(|input| (&*input.text, input)).collect())
    }

    /// A schema that does not compile was let in by other hands than `catalog apply`. It holds nobody to anything: to refuse
    /// what was accepted until now would lose it.
    pub(super) fn compile(&self, text: &str, mode: &str, playbook: &str) -> Input {
        let mode = if mode == Mode::Shadow.as_str() { Mode::Shadow } else { Mode::Enforce };
        if let Some(known) = self.0.get(text) {
            return Input { mode, ..(*known).clone() };
        }
        let schema = match catch_unwind(|| InputSchema::compile(text)) {
            Ok(compiled) => compiled.map_err(|error| error.to_string()),
            Err(_) => Err("the compiler has failed".to_owned()),
        };
        if let Err(error) = &schema {
            tracing::warn!(playbook, error, "catalog: an input schema does not compile; nothing is held to it");
        }
        Input { mode, schema: schema.ok().map(Arc::new), text: text.into() }
    }
}
