//! A playbook's input schema: JSON in a file of its own, JSON in the catalog's file, or the same as a TOML table.

use std::{fs::File, io::Read, path::Path};

use schema::{InputSchema, MAX_BYTES, Mode};
use serde_json::Value as Json;
use toml::Value as Toml;

/// A schema that a gateway can use, when it comes from a file; from the database, whatever is there.
pub(crate) struct Input {
    /// JSON.
    pub(super) schema: String,
    pub(super) mode: Mode,
}

impl Input {
    /// Whether both say the same, whatever the space between their words.
    pub(super) fn is(&self, other: &Self) -> bool {
        let json = |input: &Self| serde_json::from_str::<Json>(&input.schema).ok();
        self.mode == other.mode && json(self) == json(other)
    }
}

/// Reads a schema's file, and no more of it than a schema may have.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut text = String::new();
    File::open(path).map_err(said)?.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(said)?;
    Ok(text)
}

/// A schema in the catalog's file: a table, or a text in JSON.
pub(super) fn inline(value: Toml) -> Result<String, String> {
    match value {
        Toml::String(text) => Ok(text),
        Toml::Table(_) => json(value).map(|json| json.to_string()),
        _ => Err("a table, or a text in JSON, is expected".to_owned()),
    }
}

/// A schema that can be used.
pub(super) fn checked(text: &str, mode: Mode) -> Result<Input, String> {
    InputSchema::compile(text).map_err(|error| error.to_string())?;
    Ok(Input { schema: text.trim().to_owned(), mode })
}

fn json(value: Toml) -> Result<Json, String> {
    Ok(match value {
        Toml::String(text) => text.into(),
        Toml::Integer(number) => number.into(),
        Toml::Float(number) => {
            serde_json::Number::from_f64(number).map(Json::Number).ok_or("JSON has no such number")?
        }
        Toml::Boolean(value) => value.into(),
        // JSON has no dates of its own.
        Toml::Datetime(date) => date.to_string().into(),
        Toml::Array(items) => items.into_iter().map(json).collect::<Result<Vec<_>, _>>()?.into(),
        Toml::Table(table) => {
            let members = table.into_iter().map(|(name, value)| Ok((name, json(value)?)));
            Json::Object(members.collect::<Result<_, String>>()?)
        }
    })
}
