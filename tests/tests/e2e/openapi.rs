//! The contract that machines can read: it has all that was promised, and the gateway does what it says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::contract::{DOCUMENT, validator};
use harness::{World, eventually};
use local::Extra;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;
use uuid::Uuid;

/// The contract that the product was begun with.
const SEED: &str = include_str!("../../contract/seed-openapi.json");

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// What a `$ref` within the document refers to.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} is not there")),
        None => value,
    }
}

/// Whoever was written for the seed finds all of it: its operations with their names, parameters and answers, and in every
/// answer nothing that the seed's schema would not allow.
#[test]
fn it_has_all_that_the_seed_has() {
    let (seed, document) = (json(SEED), json(DOCUMENT));
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1."));
    for name in seed["components"]["schemas"].as_object().expect("schemas").keys() {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    assert!(document["servers"].as_array().expect("servers").iter().any(|server| server["url"] == "/api"));
    let mut answers = 0;
    for (path, operations) in seed["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let ours = &document["paths"][path][method];
            for member in ["operationId", "tags", "summary"] {
                assert_eq!(ours[member], operation[member], "{method} {path}: {member}");
            }
            for parameter in operation["parameters"].as_array().expect("parameters") {
                let same = |other: &&Value| other["name"] == parameter["name"] && other["in"] == parameter["in"];
                let mut all = ours["parameters"].as_array().expect("parameters").iter();
                let other = all.by_ref().map(|other| resolved(&document, other)).find(same).expect("the parameter");
                assert_eq!(other["required"], parameter["required"], "{parameter}");
                assert_eq!(other["schema"]["type"], parameter["schema"]["type"], "{parameter}");
            }
            // A caller who sends what the seed asks for need not send more.
            for other in
                ours["parameters"].as_array().expect("parameters").iter().map(|other| resolved(&document, other))
            {
                let known =
                    operation["parameters"].as_array().expect("parameters").iter().any(|p| p["name"] == other["name"]);
                assert!(known || other["required"] == false, "{other}");
            }
            for (status, response) in operation["responses"].as_object().expect("responses") {
                for (media_type, content) in response["content"].as_object().expect("content") {
                    let ours = &ours["responses"][status]["content"][media_type];
                    let schema = validator(&seed, &content["schema"]);
                    assert!(schema.is_valid(&ours["example"]), "{status}: {}", ours["example"]);
                    answers += 1;
                }
            }
        }
    }
    assert_eq!(answers, 8);
}

/// Every answer that can be documented has an example, and every example is what its schema says.
#[test]
fn its_examples_are_true() {
    let document = json(DOCUMENT);
    let mut examples = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let bodies = operation["responses"]
                .as_object()
                .expect("responses")
                .iter()
                .map(|(status, body)| (status.as_str(), body));
            for (status, body) in bodies.chain([("request", &operation["requestBody"])]) {
                for (media_type, content) in body["content"].as_object().into_iter().flatten() {
                    let Some(example) = content.get("example") else {
                        assert_eq!(path, "/openapi.json", "{method} {path} {status} has no example");
                        continue;
                    };
                    let check = |schema: &Value, example: &Value| {
                        let schema = validator(&document, schema);
                        let found = schema.iter_errors(example).map(|error| error.to_string()).collect::<Vec<_>>();
                        assert!(found.is_empty(), "{method} {path} {status}: {found:?}");
                    };
                    check(&content["schema"], example);
                    let lines = if status == "request" { "BatchLine" } else { "BatchAnswer" };
                    for line in example.as_str().filter(|_| media_type.contains("ndjson")).unwrap_or_default().lines() {
                        check(&document["components"]["schemas"][lines], &json(line));
                    }
                    examples += 1;
                }
            }
            for parameter in operation["parameters"].as_array().expect("parameters") {
                let parameter = resolved(&document, parameter);
                assert!(parameter["description"].is_string(), "{parameter}");
                if let Some(example) = parameter.get("example") {
                    assert!(validator(&document, &parameter["schema"]).is_valid(example), "{parameter}");
                }
            }
        }
    }
    assert!(examples > 25, "{examples}");
}

#[tokio::test]
async fn it_is_served_unless_it_is_turned_off() {
    let off = Extra::new().env("RUNLATCH_OPENAPI", "false");
    let world = World::with(|builder| builder.gateways(1)).await;
    world.stack.add_gateway(&off).await.expect("starts");
    let deploy = world.playbook("acme/deploy").await;
    let ask = || deploy.delivery("none").without("x-webhook-secret").method("GET").body("").path("/api/openapi.json");
    let answer = world.send(ask()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.text, DOCUMENT);
    let head = world.send(ask().method("HEAD")).await;
    assert_eq!((head.status, head.text.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(DOCUMENT.len().to_string().as_str()));
    let refused = world.send(ask().method("POST")).await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    world.send(ask().gateway(1)).await.refused(404, "not_found");
    world.end().await;
}

/// A tool that `make test` has installed.
fn tool(name: &str) -> PathBuf {
    // Beside the folders of this program.
    let own = std::env::current_exe().expect("this program");
    let tool = own.ancestors().nth(3).expect("cargo's folder").join("tools/bin").join(name);
    assert!(tool.exists(), "{} is missing; `make tools` installs it", tool.display());
    tool
}

/// Thousands of requests that nobody thought of, right and wrong ones: no 5xx, no status or header that is not documented, no body
/// off its schema, and nothing accepted that should not be.
#[tokio::test]
async fn schemathesis_finds_nothing() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    // Until then an unknown run is answered 503.
    eventually("what is unknown is known to be", async || {
        (world.send(deploy.run(Uuid::nil())).await.status == 404).then_some(())
    })
    .await;
    let folder = world.stack.directory().join("schemathesis");
    std::fs::create_dir_all(&folder).expect("a folder");
    let settings = format!(
        r#"
        [parameters]
        "path.orgSlug" = "acme"
        "path.playbookSlug" = "deploy"
        "header.X-Webhook-Secret" = "{}"
        "#,
        deploy.secret
    );
    std::fs::write(folder.join("schemathesis.toml"), settings).expect("written");
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/schemathesis.py");
    std::fs::copy(hooks, folder.join("hooks.py")).expect("copied");
    let mut command = Command::new(tool("schemathesis"));
    command
        .args(["--config-file", "schemathesis.toml", "run", &format!("{}/api/openapi.json", world.stack.url())])
        // It cannot know which projects there are, nor what is packed by gzip.
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args(["--max-examples", "100", "--seed", "7", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", &folder)
        .current_dir(&folder)
        .kill_on_drop(true);
    let output = timeout(Duration::from_secs(240), command.output()).await.expect("an end").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Tested: 7"), "{said}");
    world.settled().await;
    assert!(world.count("runs").await > 10, "{said}");
    world.end().await;
}
