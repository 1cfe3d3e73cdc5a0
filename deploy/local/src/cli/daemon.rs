//! What `up` leaves in the background: it holds the lock, keeps the files up to date, and stops the stack on SIGTERM.

use std::{
    fs::File,
    io::Read,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use local::{Role, Stack};
use tokio::{sync::oneshot, time::sleep};

use super::{
    args::Size,
    demo::Demo,
    files::{ENV, Files, State},
    print::line,
    start::{signals, start},
    up::summary,
};

/// The last line that `up` is told, and does not show.
pub(crate) const READY: &str = "ready";
/// Said by `up` where another stack has the lock. The daemon, which may find out later, exits 75.
pub(crate) const TAKEN: &str = "a stack is up already: `make status` shows it, `make down` stops it";

#[tokio::main]
pub(crate) async fn run(size: Size) -> Result<ExitCode> {
    // Away from the terminal and its Ctrl-C. It fails only where we lead a session already.
    let _ = nix::unistd::setsid();
    let mut stop = signals()?;
    let files = Files::open()?;
    let Some(mut lock) = lock(&files).await? else { return Ok(ExitCode::from(75)) };
    files.claim(&mut lock)?;
    let (stack, demo) = tokio::select! {
        started = start(size) => started?,
        () = stop() => bail!("told to stop before it was ready"),
        () = input_closes() => bail!("`up` was interrupted"),
    };
    let mut events = stack.events();
    files.write_env(&variables(&stack, &demo)?)?;
    files.write_state(&state(&stack))?;
    line(&summary(&stack.url(), ENV));
    line(READY);
    loop {
        tokio::select! {
            event = events.recv() => {
                // Written even where some were missed: what is written is the state, not the event.
                files.write_state(&state(&stack))?;
                if let Ok(event) = event {
                    log(&event.to_string());
                }
            }
            () = stop() => break,
        }
    }
    log("stopping");
    files.clear()?;
    stack.shutdown().await?;
    log("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Tries more than once: `status` may have the lock for an instant, to see whether it can.
async fn lock(files: &Files) -> Result<Option<File>> {
    for _ in 0..10 {
        if let Some(lock) = files.lock()? {
            return Ok(Some(lock));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(None)
}

fn state(stack: &Stack) -> State {
    State { processes: stack.processes(), database_url: stack.database_url(Role::Operator) }
}

fn variables(stack: &Stack, demo: &Demo) -> Result<[(&'static str, String); 9]> {
    Ok([
        ("RUNLATCH_URL", stack.url()),
        ("RUNLATCH_URLS", stack.urls().join(",")),
        ("RUNLATCH_OPS_URL", stack.ops_url("gateway-1")?),
        ("RUNLATCH_WORKER_OPS_URL", stack.ops_url("worker-1")?),
        ("DATABASE_URL", stack.database_url(Role::Operator)),
        ("REDIS_URL", stack.redis_url()),
        ("NATS_URL", stack.nats_url()),
        ("RUNLATCH_DEMO_PATH", demo.path.to_owned()),
        ("RUNLATCH_DEMO_SECRET", demo.secret.clone()),
    ])
}

/// Waits until `up` has gone away.
async fn input_closes() {
    let (closed, wait) = oneshot::channel();
    // A thread of its own: tokio's would keep the runtime from ending while it reads.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut vec![]);
        let _ = closed.send(());
    });
    let _ = wait.await;
}

/// With the time of day, UTC.
fn log(text: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    eprintln!("{:02}:{:02}:{:02} {text}", now / 3600 % 24, now / 60 % 60, now % 60);
}
