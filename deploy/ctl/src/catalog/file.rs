//! The TOML file. Each entry is checked by itself, so that one run tells of every mistake and where it is.

use std::collections::BTreeMap;

use proto::Slug;
use schema::Mode;
use serde::{Deserialize, de::DeserializeOwned};
use toml::{Table, Value};

use super::{Catalog, Organization, Playbook, Read, Scope, input};

/// Longest name, in characters.
const MAX_NAME: usize = 200;
/// Most characters that are said of one problem: a file may have a key of any length.
const MAX_PROBLEM: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawFile {
    #[serde(default)]
    organizations: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawOrganization {
    name: Option<String>,
    #[serde(default)]
    idempotency_scope: Scope,
    #[serde(default)]
    projects: Table,
    #[serde(default)]
    templates: Table,
    #[serde(default)]
    playbooks: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawNamed {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawPlaybook {
    name: Option<String>,
    project: String,
    template: String,
    enabled: Option<bool>,
    input_schema: Option<Value>,
    input_schema_file: Option<String>,
    input_schema_mode: Option<Mode>,
}

/// The catalog that the text declares, or all that is wrong with it. Whether a playbook's project and template exist
/// is not checked here: the database may have them.
pub(super) fn parse(text: &str, read: Read<'_>) -> Result<Catalog, Vec<String>> {
    let file: RawFile = toml::from_str(text).map_err(|error| vec![printable(&locate(text, &error))])?;
    let mut problems = Problems(Vec::new());
    if file.organizations.is_empty() {
        problems.add("organizations", "none is named");
    }
    let catalog = problems.entries("organizations", file.organizations, |problems, place, slug, raw| {
        organization(problems, place, slug, raw, read)
    });
    if problems.0.is_empty() { Ok(catalog) } else { Err(problems.0) }
}

fn organization(
    problems: &mut Problems,
    place: &str,
    slug: &Slug,
    raw: RawOrganization,
    read: Read<'_>,
) -> Option<Organization> {
    let playbook = |problems: &mut Problems, place: &str, slug: &Slug, raw: RawPlaybook| {
        playbook(problems, place, slug, raw, read)
    };
    let named = |problems: &mut Problems, place: &str, slug: &Slug, raw: RawNamed| problems.name(place, slug, raw.name);
    Some(Organization {
        name: problems.name(place, slug, raw.name)?,
        scope: raw.idempotency_scope,
        projects: problems.entries(&format!("{place}.projects"), raw.projects, named),
        templates: problems.entries(&format!("{place}.templates"), raw.templates, named),
        playbooks: problems.entries(&format!("{place}.playbooks"), raw.playbooks, playbook),
    })
}

fn playbook(problems: &mut Problems, place: &str, slug: &Slug, raw: RawPlaybook, read: Read<'_>) -> Option<Playbook> {
    let name = problems.name(place, slug, raw.name);
    let project = problems.slug(&format!("{place}.project"), &raw.project);
    let template = problems.slug(&format!("{place}.template"), &raw.template);
    let mode = raw.input_schema_mode;
    let (key, text) = match (raw.input_schema, raw.input_schema_file) {
        (Some(_), Some(_)) => ("input_schema", Some(Err("only one of input_schema and input_schema_file".to_owned()))),
        (Some(inline), None) => ("input_schema", Some(input::inline(inline))),
        (None, Some(name)) => ("input_schema_file", Some(read(&name))),
        (None, None) if mode.is_some() => ("input_schema_mode", Some(Err("there is no input_schema".to_owned()))),
        (None, None) => ("", None),
    };
    let input = text.map(|text| text.and_then(|text| input::checked(&text, mode.unwrap_or_default()))).transpose();
    let input = input.map_err(|problem| problems.add(&format!("{place}.{key}"), problem)).ok();
    let enabled = raw.enabled.unwrap_or(true);
    Some(Playbook { name: name?, project: project?, template: template?, enabled, input: input? })
}

/// Collects what is wrong; what is right is kept meanwhile, to be looked at as well.
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, place: &str, problem: impl std::fmt::Display) {
        self.0.push(printable(&format!("{place}: {problem}")));
    }

    fn slug(&mut self, place: &str, text: &str) -> Option<Slug> {
        text.parse().map_err(|error| self.add(place, format!("{text:?}: {error}"))).ok()
    }

    fn name(&mut self, place: &str, slug: &Slug, name: Option<String>) -> Option<String> {
        let name = name.unwrap_or_else(|| slug.to_string());
        if (1..=MAX_NAME).contains(&name.chars().count()) && !name.contains(char::is_control) {
            return Some(name);
        }
        self.add(
            &format!("{place}.name"),
            format!("a name is 1 to {MAX_NAME} characters, none of them a control character"),
        );
        None
    }

    /// The entries of a table whose keys are slugs.
    fn entries<R: DeserializeOwned, T>(
        &mut self,
        place: &str,
        table: Table,
        mut entry: impl FnMut(&mut Self, &str, &Slug, R) -> Option<T>,
    ) -> BTreeMap<Slug, T> {
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let place = format!("{place}.{}", toml_key(&key));
            let slug = key.parse::<Slug>().map_err(|error| self.add(&place, error)).ok();
            let raw = Value::try_into::<R>(value).map_err(|error| self.add(&place, one_line(&error.to_string()))).ok();
            if let (Some(slug), Some(raw)) = (slug, raw)
                && let Some(entry) = entry(self, &place, &slug, raw)
            {
                entries.insert(slug, entry);
            }
        }
        entries
    }
}

fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

/// toml's own text shows the line that it stumbled over; line and column are enough to find it.
fn locate(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {}", one_line(error.message()))
}

fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", ")
}

/// A terminal obeys control characters, and toml and serde quote a file's own words as they are.
fn printable(problem: &str) -> String {
    let mut text = String::new();
    for (index, character) in problem.chars().enumerate() {
        match character {
            _ if index == MAX_PROBLEM => return text + "…",
            character if character.is_control() => text.extend(character.escape_unicode()),
            character => text.push(character),
        }
    }
    text
}
