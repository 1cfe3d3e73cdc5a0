//! What can be done to a running stack: end, start, add and wait for its processes.

use std::{
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{Extra, Process, Stack, State, home::Home, probe::Probe, stack::Handle, supervise::Order};

/// How long a process may take to become ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

impl Stack {
    /// Kills a process (SIGKILL) and returns the pid that it had, once it is dead. It is started again at once, unless the
    /// builder's [`restart`](crate::Builder::restart) says otherwise.
    pub async fn kill(&self, name: &str) -> Result<u32> {
        let handle = self.handle(name)?;
        let pid =
            handle.order(Order::Signal(Signal::SIGKILL)).await?.with_context(|| format!("{name} is not running"))?;
        handle.seen.clone().wait_for(|seen| seen.pid != Some(pid)).await?;
        Ok(pid)
    }

    /// Kills a process (SIGKILL), and it stays dead until [`Stack::start`]. Returns once it is.
    pub async fn halt(&self, name: &str) -> Result<()> {
        self.handle(name)?.stop(Signal::SIGKILL).await.map(drop)
    }

    /// Stops a process gracefully, and it stays stopped until [`Stack::start`]. Returns how it ended; fails where it
    /// does not end within half a minute.
    pub async fn stop(&self, name: &str) -> Result<ExitStatus> {
        let handle = self.handle(name)?;
        handle.stop(handle.spec.stop).await?.with_context(|| format!("{name} was not running"))
    }

    /// Starts a process that is not running, on the same port and data, and waits until it is ready.
    pub async fn start(&self, name: &str) -> Result<()> {
        self.handle(name)?.order(Order::Start).await?;
        self.ready(name).await
    }

    /// [`Stack::stop`], then [`Stack::start`].
    pub async fn restart(&self, name: &str) -> Result<()> {
        self.stop(name).await?;
        self.start(name).await
    }

    /// Holds a process where it is (SIGSTOP): it keeps its connections and answers nothing. Returns once it stands still:
    /// a busy machine takes its time to stop the last of its threads, which may answer until then.
    pub async fn freeze(&self, name: &str) -> Result<()> {
        let pid = self.handle(name)?.order(Order::Signal(Signal::SIGSTOP)).await?;
        let standing = async {
            while pid.is_some_and(is_moving) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, standing).await.with_context(|| format!("{name} does not stand still"))
    }

    /// Lets a frozen process go on.
    pub async fn thaw(&self, name: &str) -> Result<()> {
        self.handle(name)?.order(Order::Signal(Signal::SIGCONT)).await.map(drop)
    }

    /// Adds a gateway, waits until it is ready, and returns its name. Where it does not become ready it is taken away again, and
    /// the error holds the end of its log.
    pub async fn add_gateway(&self, extra: &Extra) -> Result<String> {
        self.add(self.launch(self.gateway_spec(extra)?)).await
    }

    /// Adds a worker, as [`Stack::add_gateway`] a gateway.
    pub async fn add_worker(&self, extra: &Extra) -> Result<String> {
        self.add(self.launch(self.worker_spec(extra)?)).await
    }

    async fn add(&self, handle: Arc<Handle>) -> Result<String> {
        if let Err(error) = self.first_ready(&handle).await {
            handle.stop(Signal::SIGKILL).await?;
            self.handles().retain(|other| !Arc::ptr_eq(other, &handle));
            return Err(error);
        }
        Ok(handle.spec.name.clone())
    }

    /// Waits until a process is ready, for half a minute at most; however often it dies meanwhile, where it is started again.
    pub async fn ready(&self, name: &str) -> Result<()> {
        self.ready_within(name, PATIENCE).await
    }

    /// As [`Stack::ready`], with another deadline.
    pub async fn ready_within(&self, name: &str, patience: Duration) -> Result<()> {
        let handle = self.handle(name)?;
        self.wait_ready(&handle, &handle.spec.probe, patience, u32::MAX).await
    }

    /// Whether a process is ready now; if not, the error says in what way.
    pub async fn check(&self, name: &str) -> Result<(), String> {
        let handle = self.handle(name).map_err(|error| error.to_string())?;
        handle.spec.probe.ask().await
    }

    /// Waits until a new process is ready. One that dies before that will hardly do better the next time.
    pub(crate) async fn first_ready(&self, handle: &Handle) -> Result<()> {
        // A gateway is not ready without the stream, which a worker makes.
        let a_worker = self.handles().iter().any(|handle| handle.spec.name.starts_with("worker-"));
        let probe = if a_worker { handle.spec.probe.clone() } else { handle.spec.probe.leniently() };
        self.wait_ready(handle, &probe, PATIENCE, 0).await
    }

    async fn wait_ready(&self, handle: &Handle, probe: &Probe, patience: Duration, deaths_allowed: u32) -> Result<()> {
        let name = &handle.spec.name;
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_millis(5);
        loop {
            let seen = handle.seen.borrow().clone();
            if seen.ends > deaths_allowed || (seen.state == State::Stopped && seen.ends > 0) {
                let how = seen.last.map(|status| format!(" ({status})")).unwrap_or_default();
                bail!("{name} ended{how} before it was ready{}", self.tail(name));
            }
            let Err(reason) = probe.ask().await else { return Ok(()) };
            if Instant::now() > deadline {
                bail!("{name} is not ready after {patience:?}: {reason}{}", self.tail(name));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(40));
        }
    }

    /// Stops the gateways, then the workers, gracefully, then all the rest, and leaves nothing behind. The error says which
    /// did not stop within half a minute; it is gone even so.
    pub async fn shutdown(self) -> Result<()> {
        let mut late = vec![];
        for kind in ["gateway-", "worker-"] {
            let handles: Vec<_> =
                self.handles().iter().filter(|handle| handle.spec.name.starts_with(kind)).cloned().collect();
            let stopped = join_all(handles.iter().map(|handle| handle.stop(handle.spec.stop))).await;
            late.extend(stopped.into_iter().filter_map(Result::err).map(|error| error.to_string()));
        }
        drop(self);
        if late.is_empty() { Ok(()) } else { bail!("{}", late.join("; ")) }
    }
}

/// Whether a child that was sent SIGSTOP has threads that are not stopped yet. The kernel reports it as stopped when all
/// are (wait(2), `WUNTRACED`). One that is dead does not move.
#[cfg(target_os = "linux")]
fn is_moving(pid: u32) -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let child = Id::Pid(nix::unistd::Pid::from_raw(pid as i32));
    matches!(waitid(child, flags), Ok(WaitStatus::StillAlive))
}

/// Not known without taking the answer from whoever waits for its end.
#[cfg(not(target_os = "linux"))]
fn is_moving(_pid: u32) -> bool {
    false
}

impl Handle {
    /// Starts it, without waiting for anything.
    pub(crate) fn start(&self) {
        // The supervisor is there for as long as this handle is.
        let _ = self.orders.send((Order::Start, oneshot::channel().0));
    }

    /// Returns, once the order has been obeyed, the pid that it met.
    async fn order(&self, order: Order) -> Result<Option<u32>> {
        let (done, obeyed) = oneshot::channel();
        self.orders.send((order, done)).ok().context("the stack is gone")?;
        Ok(obeyed.await?)
    }

    /// Returns, once it has ended, how its last run did.
    async fn stop(&self, signal: Signal) -> Result<Option<ExitStatus>> {
        self.order(Order::Stop(signal)).await?;
        let mut seen = self.seen.clone();
        let ended = timeout(PATIENCE, seen.wait_for(|seen| seen.state == State::Stopped)).await;
        let ended =
            ended.with_context(|| format!("{} has not stopped {PATIENCE:?} after it was told to", self.spec.name))?;
        Ok(ended?.last)
    }

    pub(crate) fn process(&self, home: &Home) -> Process {
        let seen = self.seen.borrow();
        Process {
            name: self.spec.name.clone(),
            pid: seen.pid,
            port: self.spec.port.as_ref().map(|port| port.number()),
            ops_port: self.spec.ops_port.as_ref().map(|port| port.number()),
            state: seen.state,
            restarts: seen.restarts,
            log: home.log(&self.spec.name),
        }
    }
}
