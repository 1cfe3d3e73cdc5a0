//! Catalog files of every kind: a good one is accepted, a bad one is told in lines that say where, and none is the end
//! of the program.

use std::fmt::Write;

use proptest::{collection::btree_map, collection::vec, option, prelude::*, sample::Index};

/// A file in the making.
#[derive(Clone, Debug)]
struct File(Vec<Organization>);

#[derive(Clone, Debug)]
struct Organization {
    slug: String,
    name: Option<String>,
    projects: Vec<String>,
    templates: Vec<String>,
    /// Each enabled, disabled, or saying nothing of it.
    playbooks: Vec<(String, Option<bool>)>,
}

fn slug() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9][a-z0-9-]{0,8}", "[a-z0-9][a-z0-9-]{62}"]
}

fn file() -> impl Strategy<Value = File> {
    let named = || btree_map(slug(), Just(()), 1..4).prop_map(|map| map.into_keys().collect::<Vec<_>>());
    let name = option::of("[a-zA-Z é漢\"\\\\]{1,20}");
    let playbooks = btree_map(slug(), option::of(any::<bool>()), 0..3).prop_map(|map| map.into_iter().collect());
    btree_map(slug(), (name, named(), named(), playbooks), 1..4).prop_map(|map| {
        let organizations = map.into_iter().map(|(slug, (name, projects, templates, playbooks))| Organization {
            slug,
            name,
            projects,
            templates,
            playbooks,
        });
        File(organizations.collect())
    })
}

impl File {
    fn text(&self) -> String {
        let mut text = String::new();
        for Organization { slug, name, projects, templates, playbooks } in &self.0 {
            writeln!(text, "[organizations.{slug}]").unwrap();
            if let Some(name) = name {
                // TOML's basic strings escape as JSON's do.
                writeln!(text, "name = {name:?}").unwrap();
            }
            for (kind, slugs) in [("projects", projects), ("templates", templates)] {
                for entry in slugs {
                    writeln!(text, "[organizations.{slug}.{kind}.{entry}]").unwrap();
                }
            }
            for (entry, enabled) in playbooks {
                writeln!(text, "[organizations.{slug}.playbooks.{entry}]\nproject = {:?}", projects[0]).unwrap();
                writeln!(text, "template = {:?}", templates[0]).unwrap();
                if let Some(enabled) = enabled {
                    writeln!(text, "enabled = {enabled}").unwrap();
                }
            }
        }
        text
    }
}

/// The problems of a bad file, each told in one clean line; none for a good one.
fn problems(bytes: &[u8]) -> Vec<String> {
    match ctl::check_catalog(bytes.to_vec()) {
        Ok(()) => Vec::new(),
        Err(ctl::Error::Input(problems)) => {
            assert!(!problems.is_empty());
            for problem in &problems {
                assert!(problem.strip_prefix("file: ").is_some_and(|rest| !rest.is_empty()), "{problem:?}");
                // It goes to somebody's terminal.
                assert!(!problem.contains(char::is_control), "{problem:?}");
                assert!(problem.len() < 4000, "{} characters: {problem:.200}", problem.len());
            }
            problems
        }
        Err(other) => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn a_good_file_is_accepted(file in file()) {
        prop_assert_eq!(problems(file.text().as_bytes()), Vec::<String>::new());
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in vec(any::<u8>(), 0..200), text: String) {
        prop_assert!(!problems(&bytes).is_empty(), "no bytes that are drawn like this name an organization");
        problems(text.as_bytes());
        problems(format!("[organizations.acme]\nname = {text}").as_bytes());
        problems(format!("[organizations.acme.{text}]").as_bytes());
    }

    /// TOML, or nearly, of another shape.
    #[test]
    fn any_shape_is_judged_without_a_panic(
        lines in vec("\\[{0,2}(organizations|acme|projects|playbooks|name|enabled|x|\"\\\\u001b\"|[.=]){1,7}\\]{0,2} ?(= ?(1|\"\\\\u0007\"|true|\\[\\]|\\{a=1\\}|1979-05-27|nan))?", 0..8),
    ) {
        problems(lines.join("\n").as_bytes());
    }

    #[test]
    fn a_file_that_was_changed_is_good_or_told_why_not(
        file in file(), at in any::<Index>(), to in any::<Index>(), change in 0..4, new in any::<char>(),
    ) {
        let mut text: Vec<char> = file.text().chars().collect();
        let (at, to) = (at.index(text.len()), to.index(text.len()));
        match change {
            0 => text[at] = new,
            1 => text.insert(at, new),
            2 => text.truncate(at),
            _ => _ = text.drain(at.min(to)..at.max(to)),
        }
        problems(text.into_iter().collect::<String>().as_bytes());
    }

    /// A mistake is told with its place, and so is every other: one run tells of all.
    #[test]
    fn every_mistake_is_told_with_its_place(file in file()) {
        let mut text = file.text();
        let (first, last) = (&file.0[0].slug, &file.0[file.0.len() - 1].slug);
        let mut places = Vec::new();
        for (organization, mistake, place) in [
            (first, "playbooks.zz-one]\nproject = \"Bad Slug\"\ntemplate = \"t\"", "playbooks.zz-one.project"),
            (first, "playbooks.zz-two]\nproject = \"p\"", "playbooks.zz-two"),
            (last, "projects.\"Bad Slug\"]", "projects.\"Bad Slug\""),
            (last, "templates.zz-long]\nname = \"\"", "templates.zz-long.name"),
            (last, "templates.zz-odd]\ncolour = 1", "templates.zz-odd"),
            (last, "playbooks.zz-true]\nproject = \"p\"\ntemplate = \"t\"\nenabled = 1", "playbooks.zz-true"),
        ] {
            writeln!(text, "[organizations.{organization}.{mistake}").unwrap();
            places.push(format!("file: organizations.{organization}.{place}: "));
        }
        let told = problems(text.as_bytes());
        prop_assert_eq!(told.len(), places.len(), "{:#?}", told);
        for place in places {
            prop_assert!(told.iter().any(|line| line.starts_with(&place)), "{}: {:#?}", place, told);
        }
    }
}

#[test]
fn what_is_nested_without_end_is_told_in_one_line() {
    for (open, close) in [("[", "]"), ("{a=", "}"), ("[{a=", "}]")] {
        for text in [
            format!("organizations = {}", open.repeat(100_000)),
            format!("organizations = {}1{}", open.repeat(100_000), close.repeat(100_000)),
            format!("[organizations.acme]\nname = {}1{}", open.repeat(1000), close.repeat(1000)),
        ] {
            assert_eq!(problems(text.as_bytes()).len(), 1);
        }
    }
    let path = "a.".repeat(50_000);
    for text in [format!("[{path}a]"), format!("{path}a = 1"), format!("[organizations.{path}a]")] {
        assert_eq!(problems(text.as_bytes()).len(), 1);
    }
}

/// A terminal obeys what is printed on it: no word of the file reaches it raw.
#[test]
fn what_a_terminal_would_obey_is_not_repeated() {
    for text in [
        "[organizations.acme]\n\"\\u001b[2J\" = 1",
        "\"\\u001b[2J\" = 1",
        "[organizations.\"\\u001b[2J\"]",
        "[organizations.acme]\nidempotency_scope = \"\\u001b[2J\"",
        "[organizations.acme.playbooks.a]\nproject = \"\\u001b[2J\"\ntemplate = \"t\"",
        "[organizations.acme]\nname = \u{1b}[2J",
        "\u{1b}[2J",
    ] {
        assert!(!problems(text.as_bytes()).is_empty());
    }
    let long = "x".repeat(100_000);
    assert_eq!(problems(format!("[organizations.acme]\n{long} = 1").as_bytes()).len(), 1);
    assert_eq!(problems(format!("[organizations.{long}]").as_bytes()).len(), 1);
}
