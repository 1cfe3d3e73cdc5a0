use crate::database::Database;

const ACME: &str = r#"
[organizations.acme]
name = "Acme Inc"
[organizations.acme.projects.backend]
[organizations.acme.templates.nightly]
name = "Each night ☾"
[organizations.acme.playbooks.deploy]
project = "backend"
template = "nightly"
"#;

/// Every row of the catalog with the transaction that wrote it: equal only if nothing was written in between.
const ROWS: &str = "
    SELECT 'organization', xmin, o.* FROM organizations o UNION ALL
    SELECT 'project', xmin, p.id, p.slug, p.name, NULL, p.created_at FROM projects p UNION ALL
    SELECT 'template', xmin, t.id, t.slug, t.name, NULL, t.created_at FROM templates t UNION ALL
    SELECT 'playbook', xmin, b.id, b.slug, b.name, b.enabled::text, b.created_at FROM playbooks b ORDER BY 1, 3";

const COUNT: &str = "SELECT (SELECT count(*) FROM organizations) + (SELECT count(*) FROM projects)
                          + (SELECT count(*) FROM templates) + (SELECT count(*) FROM playbooks)";

const PLAYBOOKS: &str = "
    SELECT o.slug, b.slug, b.name, p.slug, t.slug, b.enabled FROM playbooks b
    JOIN organizations o ON o.id = b.organization_id JOIN projects p ON p.id = project_id JOIN templates t ON t.id = template_id
    ORDER BY 1, 2";

const CREATED: &str = "+ organization acme\n+ project acme/backend\n+ template acme/nightly\n+ playbook acme/deploy\n";

#[tokio::test]
async fn it_creates_what_the_file_declares_and_the_second_time_writes_nothing() {
    let database = Database::migrated().await;
    assert_eq!(database.apply(ACME).ok(), format!("{CREATED}4 created, 0 changed, 0 unchanged\n"));
    assert_eq!(database.query(PLAYBOOKS).await, "acme deploy deploy backend nightly t");
    let names = "SELECT o.name, t.name, idempotency_scope FROM organizations o, templates t";
    assert_eq!(database.query(names).await, "Acme Inc Each night ☾ playbook");

    let rows = database.query(ROWS).await;
    assert_eq!(database.apply(ACME).ok(), "nothing to change (4 as the file says)\n");
    assert_eq!(database.query(ROWS).await, rows);
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let database = Database::migrated().await;
    let dry_run = |toml: &str| database.start(&["catalog", "apply", "--dry-run", "-"], toml).outcome();
    assert_eq!(dry_run(ACME).ok(), format!("{CREATED}dry run: 4 to create, 0 to change, 0 unchanged\n"));
    assert_eq!(database.query(COUNT).await, "0");

    database.apply(ACME).ok();
    let rows = database.query(ROWS).await;
    let off = format!("{ACME}enabled = false");
    let said = dry_run(&off).ok();
    assert!(said.starts_with("~ playbook acme/deploy: enabled true → false\n"), "{said}");
    assert_eq!(dry_run(ACME).ok(), "nothing to change (4 as the file says)\n");
    assert_eq!(dry_run("[organizations.Bad]").code, 65);
    assert_eq!(database.query(ROWS).await, rows);
}

#[tokio::test]
async fn it_changes_what_differs_and_says_from_what_to_what() {
    let database = Database::migrated().await;
    database.apply(ACME).ok();
    let changed = r#"
        [organizations.acme]
        name = "ACME"
        [organizations.acme.projects.backend]
        name = "Back end"
        [organizations.acme.projects.frontend]
        [organizations.acme.templates.nightly]
        [organizations.acme.playbooks.deploy]
        name = "Deploy \"it\""
        project = "frontend"
        template = "nightly"
        enabled = false
    "#;
    let expected = "\
~ organization acme: name \"Acme Inc\" → \"ACME\"
~ project acme/backend: name \"backend\" → \"Back end\"
+ project acme/frontend
~ template acme/nightly: name \"Each night ☾\" → \"nightly\"
~ playbook acme/deploy: name \"deploy\" → \"Deploy \\\"it\\\"\", project backend → frontend, enabled true → false
1 created, 4 changed, 0 unchanged
";
    assert_eq!(database.apply(changed).ok(), expected);
    assert_eq!(database.query(PLAYBOOKS).await, "acme deploy Deploy \"it\" frontend nightly f");
    // What a file leaves out has its default again.
    let said = database.apply(ACME).ok();
    assert!(said.contains("project frontend → backend, enabled false → true\n"), "{said}");
    assert_eq!(database.query(PLAYBOOKS).await, "acme deploy deploy backend nightly t");
}

#[tokio::test]
async fn what_the_file_does_not_name_is_left_as_it_is() {
    let database = Database::migrated().await;
    let other = ACME.replace("acme", "other");
    database.apply(&format!("{ACME}{other}")).ok();
    let rows = database.query(ROWS).await;
    let expected = "\
~ organization acme: name \"Acme Inc\" → \"acme\"
+ playbook acme/second
left as is: project acme/backend (not in the file)
left as is: template acme/nightly (not in the file)
left as is: playbook acme/deploy (not in the file)
1 created, 1 changed, 0 unchanged
";
    // Its project and template are those that only the database has.
    let second = "[organizations.acme.playbooks.second]\nproject = \"backend\"\ntemplate = \"nightly\"";
    assert_eq!(database.apply(second).ok(), expected);
    let now = database.query(ROWS).await;
    let untouched = rows.lines().filter(|row| !row.contains("Acme Inc") || row.contains("other"));
    assert!(untouched.into_iter().all(|row| now.contains(row)), "{now}");
    assert_eq!(now.lines().count(), 9);
}

#[tokio::test]
async fn the_idempotency_scope_is_fixed_when_the_organization_is_created() {
    let database = Database::migrated().await;
    database.apply("[organizations.acme]\nidempotency_scope = \"organization\"").ok();
    assert_eq!(database.query("SELECT idempotency_scope FROM organizations").await, "organization");
    database.apply("[organizations.acme]\nidempotency_scope = \"organization\"").ok();

    for toml in ["[organizations.acme]\nname = \"New\"", "[organizations.acme]\nidempotency_scope = \"playbook\""] {
        let error = database.apply(toml).failed(65);
        assert!(
            error.contains("organization acme: idempotency_scope is fixed for life as \"organization\""),
            "{error}"
        );
    }
    assert_eq!(database.query("SELECT name FROM organizations").await, "acme");
}

#[tokio::test]
async fn every_mistake_is_told_at_once_with_its_place_and_nothing_is_written() {
    let database = Database::migrated().await;
    let toml = r#"
        [organizations.Acme]
        [organizations.acme]
        idempotency_scope = "galaxy"
        [organizations.fine]
        [organizations.bolt]
        colour = "red"
        [organizations.bolt2.projects]
        three = 3
        "a b" = {}
        long.name = ""
        [organizations.bolt2.playbooks.p1]
        project = "No!"
        template = ""
        [organizations.bolt2.playbooks.p2]
        enabeld = true
        [organizations.bolt2.playbooks.p3]
        enabled = "yes"
        project = "p"
        template = "t"
        [organizations.bolt2.playbooks.p4]
        project = "p"
    "#;
    let error = database.apply(toml).failed(65);
    let expected = [
        "organizations.Acme: a slug is",
        "organizations.acme: unknown variant `galaxy`",
        "organizations.bolt: unknown field `colour`",
        "organizations.bolt2.projects.three: invalid type: integer `3`, expected a table",
        "organizations.bolt2.projects.\"a b\": a slug is",
        "organizations.bolt2.projects.long.name: a name is",
        "organizations.bolt2.playbooks.p1.project: \"No!\": a slug is",
        "organizations.bolt2.playbooks.p1.template: \"\": a slug is",
        "organizations.bolt2.playbooks.p2: unknown field `enabeld`",
        "organizations.bolt2.playbooks.p3: invalid type: string \"yes\", expected a boolean",
        "organizations.bolt2.playbooks.p4: missing field `template`",
    ];
    for problem in expected {
        assert!(error.contains(&format!("runlatch: stdin: {problem}")), "{problem} is not in:\n{error}");
    }
    assert_eq!(error.lines().count(), expected.len(), "{error}");
    assert_eq!(database.query(COUNT).await, "0");
}

#[tokio::test]
async fn a_playbook_needs_a_project_and_a_template_of_its_own_organization() {
    let database = Database::migrated().await;
    let toml = format!(
        "{ACME}
        [organizations.bolt.projects.mine]
        [organizations.bolt.playbooks.one]
        project = 'backend'
        template = 'nightly'
        [organizations.bolt.playbooks.two]
        project = 'mine'
        template = 'none'"
    );
    let error = database.apply(&toml).failed(65);
    for missing in [
        "one: there is no project bolt/backend",
        "one: there is no template bolt/nightly",
        "two: there is no template bolt/none",
    ] {
        assert!(
            error.contains(&format!("playbook bolt/{missing}, neither in the file nor in the database")),
            "{error}"
        );
    }
    assert_eq!(error.lines().count(), 3, "{error}");
    assert_eq!(database.query(COUNT).await, "0");
}

#[tokio::test]
async fn a_change_that_the_database_refuses_takes_the_rest_back() {
    let database = Database::migrated().await;
    let trigger = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
                   CREATE TRIGGER no BEFORE INSERT ON playbooks FOR EACH ROW EXECUTE FUNCTION no()";
    database.query(trigger).await;
    let error = database.apply(ACME).failed(1);
    assert!(error.contains("Postgres: not today (SQLSTATE P0001)"), "{error}");
    assert_eq!(database.query(COUNT).await, "0");
}

#[tokio::test]
async fn applies_at_once_do_not_get_in_each_others_way() {
    let database = Database::migrated().await;
    let running: Vec<_> = (0..8).map(|_| database.start(&["catalog", "apply", "-"], ACME)).collect();
    let outputs: Vec<String> = running.into_iter().map(|running| running.outcome().ok()).collect();
    assert_eq!(outputs.iter().filter(|output| output.contains("4 created")).count(), 1, "{outputs:?}");
    assert_eq!(outputs.iter().filter(|output| output.contains("nothing to change")).count(), 7, "{outputs:?}");
    assert_eq!(database.query(COUNT).await, "4");
}

#[tokio::test]
async fn gateways_are_told_of_a_change_and_only_of_a_change() {
    let database = Database::migrated().await;
    let (client, mut connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let tokio_postgres::AsyncMessage::Notification(notification) = message {
                sender.send(notification.payload().to_owned()).unwrap();
            }
        }
    });
    client.batch_execute("LISTEN runlatch_catalog").await.unwrap();
    database.apply(ACME).ok();
    database.apply(ACME).ok();
    // Heard after all that the two applies may have sent.
    client.batch_execute("NOTIFY runlatch_catalog, 'end'").await.unwrap();
    let mut all = Vec::new();
    while let Some(payload) = heard.recv().await {
        if payload == "end" {
            break;
        }
        all.push(payload);
    }
    assert_eq!(all, [database.query("SELECT id FROM organizations").await]);
}

#[tokio::test]
async fn an_input_schema_comes_as_a_table_a_text_or_a_file() {
    let database = Database::migrated().await;
    let schemas = "SELECT input_schema, input_schema_mode FROM playbooks";
    database.apply(ACME).ok();
    assert_eq!(database.query(schemas).await, "- enforce");

    let table =
        "[organizations.acme.playbooks.deploy.input_schema]\nrequired = [\"order\"]\nproperties.order.minimum = 1";
    let said = database.apply(&format!("{ACME}{table}")).ok();
    assert!(said.starts_with("~ playbook acme/deploy: input schema added (enforce)\n"), "{said}");
    assert_eq!(database.query(schemas).await, r#"{"properties":{"order":{"minimum":1}},"required":["order"]} enforce"#);

    // The same in other words.
    let text = "input_schema = '''{ \"required\": [\"order\"], \"properties\": {\"order\": {\"minimum\": 1}} }'''\n";
    assert_eq!(database.apply(&format!("{ACME}{text}")).ok(), "nothing to change (4 as the file says)\n");
    let said = database.apply(&format!("{ACME}{text}input_schema_mode = \"shadow\"")).ok();
    assert!(said.starts_with("~ playbook acme/deploy: input schema changed (enforce → shadow)\n"), "{said}");

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("order.json"), r#"{"type": "object"}"#).unwrap();
    let file = directory.path().join("catalog.toml");
    std::fs::write(&file, format!("{ACME}input_schema_file = \"order.json\"")).unwrap();
    let apply = ["catalog", "apply", file.to_str().unwrap()];
    let said = database.start(&apply, "").outcome().ok();
    assert!(said.starts_with("~ playbook acme/deploy: input schema changed (shadow → enforce)\n"), "{said}");
    assert_eq!(database.query(schemas).await, r#"{"type": "object"} enforce"#);

    let said = database.apply(ACME).ok();
    assert!(said.starts_with("~ playbook acme/deploy: input schema removed\n"), "{said}");
    assert_eq!(database.query(schemas).await, "- enforce");
    // What is new has its schema from the beginning.
    let new = ACME.replace("playbooks.deploy", "playbooks.new");
    database.apply(&format!("{new}input_schema = '{{}}'\ninput_schema_mode = \"shadow\"")).ok();
    assert_eq!(database.query(&format!("{schemas} WHERE slug = 'new'")).await, "{} shadow");
}

#[tokio::test]
async fn a_schema_that_gateways_could_not_use_is_refused() {
    let database = Database::migrated().await;
    let place = "stdin: organizations.acme.playbooks.deploy.";
    for (entry, problem) in [
        ("input_schema = '{'", "input_schema: not valid JSON"),
        ("input_schema = 5", "input_schema: a table, or a text in JSON, is expected"),
        ("input_schema = {type = \"objekt\"}", "input_schema: /type: "),
        ("input_schema = {properties = {a = {minimum = \"1\"}}}", "input_schema: /properties/a/minimum: "),
        (
            "input_schema = {\"$ref\" = \"https://example.com/schema\"}",
            "input_schema: https://example.com/schema: refers to another document",
        ),
        ("input_schema = {const = nan}", "input_schema: JSON has no such number"),
        ("input_schema_file = \"none.json\"", "input_schema_file: none.json: No such file"),
        ("input_schema = {}\ninput_schema_file = \"none.json\"", "input_schema: only one of"),
        ("input_schema_mode = \"shadow\"", "input_schema_mode: there is no input_schema"),
    ] {
        let outcome = database.apply(&format!("{ACME}{entry}"));
        assert_eq!(outcome.code, 65, "{entry}");
        let expected = format!("{place}{problem}");
        assert!(outcome.stderr.contains(&expected), "{entry}: {}", outcome.stderr);
    }
    let outcome = database.apply(&format!("{ACME}input_schema = {{}}\ninput_schema_mode = \"off\""));
    assert!(
        outcome.code == 65 && outcome.stderr.contains("enforce") && outcome.stderr.contains("shadow"),
        "{}",
        outcome.stderr
    );
    assert_eq!(database.query(COUNT).await, "0");
}
