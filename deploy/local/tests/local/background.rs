//! `up`, `status`, `down`, as a person or a script uses them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    traces::{processes, send, text, wait_until_clean},
    usage, wait_for,
};

/// A folder to work in, and one for what must not be left. Whatever becomes of the test, nothing stays up.
struct Place {
    work: TempDir,
    temp: TempDir,
}

impl Place {
    fn new() -> Result<Place> {
        let temp = tempfile::tempdir()?;
        // The user that PostgreSQL runs as must get through.
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Place { work: tempfile::tempdir()?, temp })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = usage::command(args, self.work.path());
        command.env("TMPDIR", self.temp.path());
        command
    }

    fn run(&self, args: &[&str]) -> Result<Output> {
        Ok(self.command(args).output()?)
    }

    fn succeed(&self, args: &[&str]) -> Result<String> {
        let output = self.run(args)?;
        assert!(output.status.success(), "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
        Ok(text(&output.stdout))
    }

    /// Name, then pid, port and state, as `status` shows them.
    fn status(&self) -> Result<BTreeMap<String, [String; 3]>> {
        let lines = text(&self.run(&["status"])?.stdout);
        let mut all = BTreeMap::new();
        for line in lines.lines() {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let [name, pid, port, state] = <[String; 4]>::try_from(words[..4].to_vec()).expect("four of four");
            all.insert(name, [pid, port, state]);
        }
        Ok(all)
    }

    /// What a shell makes of stack.env.
    fn variables(&self) -> Result<BTreeMap<String, String>> {
        let script = "set -a; PATH= ; . .local/stack.env; /usr/bin/env";
        let output = Command::new("/bin/sh").args(["-c", script]).env_clear().current_dir(self.work.path()).output()?;
        let lines = text(&output.stdout);
        let pairs = lines.lines().filter_map(|line| line.split_once('='));
        let pairs = pairs.filter(|(name, _)| !["PATH", "PWD", "_", "OLDPWD", "SHLVL"].contains(name));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

#[tokio::test]
async fn a_stack_goes_up_is_seen_heals_and_goes_down() -> Result<()> {
    let place = Place::new()?;
    let said = place.succeed(&["up", "--gateways", "2"])?;
    assert!(said.contains("Runlatch is up at http://127.0.0.1:"), "{said}");

    let file = place.work.path().join(".local/stack.env");
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let variables = place.variables()?;
    let expected = "DATABASE_URL NATS_URL REDIS_URL RUNLATCH_DEMO_PATH RUNLATCH_DEMO_SECRET RUNLATCH_OPS_URL RUNLATCH_URL \
                    RUNLATCH_URLS RUNLATCH_WORKER_OPS_URL";
    assert_eq!(variables.keys().cloned().collect::<Vec<_>>().join(" "), expected);

    // Every gateway takes the demo's delivery, and the second knows what the first was sent.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut codes = vec![];
    for url in variables["RUNLATCH_URLS"].split(',') {
        let request = client.post(format!("{url}{}", variables["RUNLATCH_DEMO_PATH"]));
        let request = request.header("X-Webhook-Secret", &variables["RUNLATCH_DEMO_SECRET"]);
        codes.push(request.header("X-Idempotency-Key", "one").body("{}").send().await?.status().as_u16());
    }
    assert_eq!(codes, [202, 200]);

    let refused = place.run(&["up"])?;
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(text(&refused.stderr).lines().count(), 1);
    assert!(text(&refused.stderr).contains("make down"), "{}", text(&refused.stderr));

    let before = place.status()?;
    let names: Vec<_> = before.keys().map(String::as_str).collect();
    assert_eq!(names, ["gateway-1", "gateway-2", "nats", "postgres", "redis", "worker-1"]);
    assert!(before.values().all(|[_, _, state]| state == "ready"), "{before:?}");
    for name in names {
        let killed = Instant::now();
        send(before[name][0].parse()?, Signal::SIGKILL);
        let after = wait_for("another pid", || {
            let [pid, port, _] = place.status().ok()?.remove(name)?;
            (pid != "-" && pid != before[name][0]).then_some(port)
        });
        assert!(killed.elapsed() < Duration::from_secs(1), "{name} took {:?}", killed.elapsed());
        assert_eq!(after, before[name][1], "{name}");
    }
    wait_for("all to be ready again", || place.run(&["status"]).ok()?.status.success().then_some(()));

    assert!(place.succeed(&["down"])?.ends_with("stopped\n"));
    assert!(!file.exists());
    assert_eq!(processes(place.temp.path()), Vec::<i32>::new());
    assert_eq!(fs::read_dir(place.temp.path())?.count(), 0);
    assert_eq!(place.run(&["status"])?.status.code(), Some(3));
    Ok(())
}

#[test]
fn after_a_kill_of_the_daemon_nothing_is_left_and_up_works_again() -> Result<()> {
    let place = Place::new()?;
    for _ in 0..2 {
        place.succeed(&["up"])?;
        let pid = fs::read_to_string(place.work.path().join(".local/lock"))?;
        send(pid.parse()?, Signal::SIGKILL);
        wait_until_clean(place.temp.path());
        assert_eq!(place.run(&["status"])?.status.code(), Some(3));
    }
    assert_eq!(place.succeed(&["down"])?, "nothing is up\n");
    assert!(!place.work.path().join(".local/stack.env").exists());
    Ok(())
}

#[test]
fn a_stale_pid_is_never_signalled() -> Result<()> {
    let place = Place::new()?;
    let mut bystander = Command::new("sleep").arg("60").spawn()?;
    fs::create_dir(place.work.path().join(".local"))?;
    fs::write(place.work.path().join(".local/lock"), bystander.id().to_string())?;
    fs::write(place.work.path().join(".local/stack.env"), "RUNLATCH_URL=stale\n")?;
    let said = place.succeed(&["down"])?;
    let alive = bystander.try_wait()?.is_none();
    bystander.kill()?;
    bystander.wait()?;
    assert!(alive);
    assert_eq!(said, "nothing is up\n");
    assert!(!place.work.path().join(".local/stack.env").exists());
    Ok(())
}

#[test]
fn what_prevents_a_start_is_said() -> Result<()> {
    let place = Place::new()?;
    let output = place.command(&["up"]).env("RUNLATCH_BIN_DIR", place.work.path()).output()?;
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("there is no runlatch in RUNLATCH_BIN_DIR"), "{said}");
    assert_eq!(place.run(&["status"])?.status.code(), Some(3));
    Ok(())
}

#[test]
fn an_interrupted_up_leaves_nothing() -> Result<()> {
    let place = Place::new()?;
    let mut up = place.command(&["up"]).stdout(std::process::Stdio::null()).spawn()?;
    wait_for("a directory", || fs::read_dir(place.temp.path()).ok()?.next().map(drop));
    up.kill()?;
    up.wait()?;
    wait_until_clean(place.temp.path());
    // The daemon clears up first and says so then.
    let log = || fs::read_to_string(place.work.path().join(".local/stack.log")).unwrap_or_default();
    wait_for("a word in the log", || log().contains("interrupted").then_some(()));
    Ok(())
}
