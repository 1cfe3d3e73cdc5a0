//! The difference between a file and the database, as a list of changes.

use std::{collections::BTreeMap, fmt};

use proto::Slug;

use super::{Catalog, Organization, Playbook};

pub(super) struct Plan<'a> {
    /// In an order that can be written: what is referred to comes first.
    pub(super) changes: Vec<Change<'a>>,
    /// Entries of the file's organizations that the file does not name.
    pub(super) left: Vec<String>,
    /// How many entries of the file are in the database as they should be.
    pub(super) unchanged: usize,
}

impl Plan<'_> {
    pub(super) fn created(&self) -> usize {
        self.changes.iter().filter(|change| change.differences.is_none()).count()
    }
}

/// One row to write.
pub(super) struct Change<'a> {
    pub(super) organization: &'a Slug,
    pub(super) entry: Entry<'a>,
    /// What differs from the row that is there, for people; none where there is no row yet.
    pub(super) differences: Option<Vec<String>>,
}

#[derive(Clone, Copy)]
pub(super) enum Entry<'a> {
    Organization(&'a Organization),
    Project(&'a Slug, &'a str),
    Template(&'a Slug, &'a str),
    Playbook(&'a Slug, &'a Playbook),
}

impl fmt::Display for Change<'_> {
    /// `+ project acme/backend` or `~ playbook acme/deploy: enabled true → false`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.differences.is_none() { "+ " } else { "~ " })?;
        match self.entry {
            Entry::Organization(_) => write!(f, "organization {}", self.organization)?,
            Entry::Project(slug, _) => write!(f, "project {}/{slug}", self.organization)?,
            Entry::Template(slug, _) => write!(f, "template {}/{slug}", self.organization)?,
            Entry::Playbook(slug, _) => write!(f, "playbook {}/{slug}", self.organization)?,
        }
        match &self.differences {
            Some(differences) => write!(f, ": {}", differences.join(", ")),
            None => Ok(()),
        }
    }
}

/// What has to be written to make `stored` what `wanted` says, or all the reasons why it cannot be.
pub(super) fn plan<'a>(wanted: &'a Catalog, stored: &Catalog) -> Result<Plan<'a>, Vec<String>> {
    let nothing = Organization::default();
    let mut plan = Plan { changes: Vec::new(), left: Vec::new(), unchanged: 0 };
    let mut problems = Vec::new();
    for (slug, new) in wanted {
        let known = stored.get(slug);
        let old = known.unwrap_or(&nothing);
        if known.is_some() && old.scope != new.scope {
            problems.push(format!(
                "organization {slug}: idempotency_scope is fixed for life as {:?}; the file says {:?}, if only by leaving it out",
                old.scope.as_str(),
                new.scope.as_str(),
            ));
        }
        problems.extend(unknown_targets(slug, new, old));

        let mut entry = |entry, differences| plan.entry(slug, entry, differences);
        entry(Entry::Organization(new), known.map(|old| difference("name", &old.name, &new.name)));
        for (key, name) in &new.projects {
            entry(Entry::Project(key, name), old.projects.get(key).map(|old| difference("name", old, name)));
        }
        for (key, name) in &new.templates {
            entry(Entry::Template(key, name), old.templates.get(key).map(|old| difference("name", old, name)));
        }
        for (key, new) in &new.playbooks {
            entry(Entry::Playbook(key, new), old.playbooks.get(key).map(|old| differences(old, new)));
        }
        plan.left.extend(left("project", slug, &old.projects, &new.projects));
        plan.left.extend(left("template", slug, &old.templates, &new.templates));
        plan.left.extend(left("playbook", slug, &old.playbooks, &new.playbooks));
    }
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

impl<'a> Plan<'a> {
    fn entry(&mut self, organization: &'a Slug, entry: Entry<'a>, differences: Option<Vec<String>>) {
        if differences.as_ref().is_some_and(Vec::is_empty) {
            self.unchanged += 1;
        } else {
            self.changes.push(Change { organization, entry, differences });
        }
    }
}

fn unknown_targets(slug: &Slug, new: &Organization, old: &Organization) -> Vec<String> {
    let mut problems = Vec::new();
    for (key, playbook) in &new.playbooks {
        let mut check = |kind, target: &Slug, new: &BTreeMap<Slug, String>, old: &BTreeMap<Slug, String>| {
            if !new.contains_key(target) && !old.contains_key(target) {
                problems.push(format!(
                    "playbook {slug}/{key}: there is no {kind} {slug}/{target}, neither in the file nor in the database"
                ));
            }
        };
        check("project", &playbook.project, &new.projects, &old.projects);
        check("template", &playbook.template, &new.templates, &old.templates);
    }
    problems
}

fn differences(old: &Playbook, new: &Playbook) -> Vec<String> {
    let mut all = difference("name", &old.name, &new.name);
    if old.project != new.project {
        all.push(format!("project {} → {}", old.project, new.project));
    }
    if old.template != new.template {
        all.push(format!("template {} → {}", old.template, new.template));
    }
    if old.enabled != new.enabled {
        all.push(format!("enabled {} → {}", old.enabled, new.enabled));
    }
    match (&old.input, &new.input) {
        (None, Some(new)) => all.push(format!("input schema added ({})", new.mode.as_str())),
        (Some(_), None) => all.push("input schema removed".to_owned()),
        (Some(old), Some(new)) if !old.is(new) => {
            let modes = [old.mode.as_str(), new.mode.as_str()];
            let modes = if old.mode == new.mode { modes[1].to_owned() } else { modes.join(" → ") };
            all.push(format!("input schema changed ({modes})"));
        }
        _ => {}
    }
    all
}

fn difference(what: &str, old: &str, new: &str) -> Vec<String> {
    if old == new { Vec::new() } else { vec![format!("{what} {old:?} → {new:?}")] }
}

fn left<T>(kind: &str, slug: &Slug, old: &BTreeMap<Slug, T>, new: &BTreeMap<Slug, T>) -> Vec<String> {
    old.keys().filter(|key| !new.contains_key(*key)).map(|key| format!("{kind} {slug}/{key}")).collect()
}
