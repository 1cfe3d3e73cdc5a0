//! The programs in `examples/`, as their readers run them.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Playbook, World, eventually, payload};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// One of the programs, ready to run.
struct Example {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<PathBuf>,
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("examples")
}

/// What `make tools` has installed, beside the folders of this program.
fn tools() -> PathBuf {
    let own = std::env::current_exe().expect("this program");
    let tools = own.ancestors().nth(3).expect("cargo's folder").join("tools");
    assert!(tools.join("installed").exists(), "{} is not there; `make tools` makes it", tools.display());
    tools
}

async fn run(command: &mut Command) -> Output {
    let output = timeout(Duration::from_secs(120), command.kill_on_drop(true).output()).await.expect("an end");
    output.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// All of them; in Go where there is a toolchain.
async fn all(folder: &Path) -> Vec<Example> {
    let (source, tools) = (examples(), tools());
    let mut all = vec![
        Example { name: "curl", program: "bash".into(), arguments: vec![source.join("curl/deliver.sh")] },
        Example {
            name: "python",
            program: tools.join("bin/python"),
            arguments: vec![source.join("python/deliver.py")],
        },
    ];
    let compile = run(Command::new(tools.join("node_modules/.bin/tsc"))
        .args([
            "--strict",
            "--target",
            "es2022",
            "--module",
            "esnext",
            "--moduleResolution",
            "bundler",
            "--types",
            "node",
        ])
        .arg("--typeRoots")
        .arg(tools.join("node_modules/@types"))
        .arg("--outDir")
        .arg(folder)
        .arg(source.join("typescript/deliver.ts")))
    .await;
    assert!(compile.status.success(), "{}", said(&compile));
    std::fs::write(folder.join("package.json"), r#"{"type":"module"}"#).expect("written");
    all.push(Example { name: "typescript", program: "node".into(), arguments: vec![folder.join("deliver.js")] });
    if Command::new("go").arg("version").output().await.is_ok_and(|output| output.status.success()) {
        let program = folder.join("deliver");
        let compile =
            run(Command::new("go").args(["build", "-o"]).arg(&program).arg(source.join("go/deliver.go"))).await;
        assert!(compile.status.success(), "{}", said(&compile));
        all.push(Example { name: "go", program, arguments: vec![] });
    }
    all
}

impl Example {
    /// Sends `body` under `key`.
    async fn deliver(
        &self,
        url: &str,
        playbook: &Playbook,
        key: &str,
        body: &str,
        settings: &[(&str, &str)],
    ) -> Output {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(key).kill_on_drop(true);
        command.env("RUNLATCH_URL", url).env("RUNLATCH_PATH", &playbook.path).env("RUNLATCH_SECRET", &playbook.secret);
        command.envs(settings.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(body.as_bytes()).await.expect("it reads");
        drop(stdin);
        let output =
            timeout(Duration::from_secs(60), child.wait_with_output()).await.expect("an end").expect("it runs");
        assert!(!said(&output).contains(&playbook.secret), "{}: it tells the secret", self.name);
        output
    }
}

#[track_caller]
fn accepted(name: &str, output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{name}: {}", said(output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1, "{name}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// Accepted, replayed, refused for good; and each body arrives byte for byte.
#[tokio::test]
async fn they_deliver() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let folder = world.stack.directory().join("examples");
    std::fs::create_dir_all(&folder).expect("a folder");
    for example in all(&folder).await {
        let (name, key) = (example.name, format!("{}-1", example.name));
        // As no library would write it.
        let body = format!(r#"{{ "of":"é ☾",  "n":1.50,"inner":{} }}"#, payload(&key));
        let deliver = async |key: &str, body: &str| example.deliver(&world.stack.url(), &deploy, key, body, &[]).await;
        let first = accepted(name, &deliver(&key, &body).await);
        assert_eq!(first["status"], "created", "{name}");
        let again = accepted(name, &deliver(&key, &body).await);
        assert_eq!((&again["status"], &again["runId"]), (&"replayed".into(), &first["runId"]), "{name}");
        let conflict = deliver(&key, "{}").await;
        assert_eq!(conflict.status.code(), Some(65), "{name}: {}", said(&conflict));
        assert!(said(&conflict).contains("idempotency_conflict"), "{name}: {}", said(&conflict));
        let bad = deliver("other", "[]").await;
        assert_eq!(bad.status.code(), Some(65), "{name}: {}", said(&bad));
        world.settled().await;
        let stored = "SELECT payload::text FROM runs WHERE idempotency_key = $1";
        let stored: String = world.database.query_one(stored, &[&key]).await.expect("the run").get(0);
        assert_eq!(stored, body, "{name}");
    }
    world.end().await;
}

/// An outage is waited for, for as long as the gateway asks, and one that lasts too long is told.
#[tokio::test]
async fn they_retry() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let folder = world.stack.directory().join("examples");
    std::fs::create_dir_all(&folder).expect("a folder");
    // Taken, and nobody listens.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let nobody = format!("http://{}", socket.local_addr().expect("an address"));
    let (all, url) = (all(&folder).await, world.stack.url());
    let bodies: Vec<_> = all.iter().map(|example| payload(example.name)).collect();
    let deliver = async |url: &str, attempts: &str| {
        let settings = [("RUNLATCH_ATTEMPTS", attempts), ("RUNLATCH_BACKOFF_SECONDS", "0.001")];
        let each = all.iter().zip(&bodies);
        join_all(each.map(|(example, body)| example.deliver(url, &deploy, example.name, body, &settings))).await
    };
    let told = |outputs: &[Output]| {
        for (example, output) in all.iter().zip(outputs) {
            assert_eq!(output.status.code(), Some(75), "{}: {}", example.name, said(output));
            assert!(output.stdout.is_empty(), "{}: {}", example.name, said(output));
        }
    };
    told(&deliver(&nobody, "2").await);

    world.stack.halt("nats").await.expect("halts");
    eventually("the gateway notices", async || (world.send(deploy.delivery("x")).await.status == 503).then_some(()))
        .await;
    let refused = async || {
        let name = "runlatch_gateway_deliveries_total{outcome=\"unavailable\"}";
        world.metric("gateway-1", name).await.unwrap_or_default()
    };
    let (before, since) = (refused().await, Instant::now());
    told(&deliver(&url, "3").await);
    // `Retry-After` asks for a second at least, twice; of their own they would be done in milliseconds.
    assert!(since.elapsed() >= Duration::from_secs(2), "{:?}", since.elapsed());
    let before = before + 3.0 * all.len() as f64;
    assert_eq!(refused().await, before, "each has tried three times");

    let mend = async {
        eventually("all are refused", async || (refused().await >= before + all.len() as f64).then_some(())).await;
        world.stack.start("nats").await.expect("starts");
    };
    let (outputs, ()) = tokio::join!(deliver(&url, "30"), mend);
    for (example, output) in all.iter().zip(&outputs) {
        accepted(example.name, output);
    }
    world.settled().await;
    assert_eq!(world.runs().await.into_iter().filter(|run| run.key != "x").count(), all.len());
    world.end().await;
}
