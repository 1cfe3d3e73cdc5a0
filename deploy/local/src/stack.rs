//! The stack itself: how it comes to be, what it is made of, and how it ends.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as channel},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use futures_util::future::try_join_all;
use tokio::{
    runtime::Runtime,
    sync::{broadcast, mpsc, watch},
};

use crate::{
    binaries,
    builder::{Builder, Settings},
    home::Home,
    nats,
    port::Port,
    postgres,
    process::{Event, Spec},
    redis,
    roles::{Role, Roles, random},
    servers::Server,
    supervise::{Orders, Seen, Supervisor},
    wiring::Wiring,
};

/// Running servers, gateways and workers. Dropping it ends them at once and removes all their files, which takes some
/// tens of milliseconds; [`Stack::shutdown`] lets them finish first.
///
/// It has a thread of its own to watch its processes from, so it may outlive the runtime that started it.
pub struct Stack {
    pub(crate) home: Arc<Home>,
    pub(crate) settings: Settings,
    pub(crate) roles: Roles,
    pub(crate) pepper: String,
    pub(crate) ports: Ports,
    pub(crate) wiring: Wiring,
    processes: Mutex<Vec<Arc<Handle>>>,
    pub(crate) events: broadcast::Sender<Event>,
    runtime: Option<Runtime>,
    /// Closed once the reaper is done.
    reaped: Option<watch::Sender<()>>,
    /// Closed when the last supervisor is done; the sender is what they are given copies of.
    supervisors: (Option<channel::Sender<()>>, channel::Receiver<()>),
}

#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) postgres: u16,
    pub(crate) redis: u16,
    pub(crate) nats: u16,
}

impl Ports {
    pub(crate) fn of(&self, server: Server) -> u16 {
        match server {
            Server::Postgres => self.postgres,
            Server::Redis => self.redis,
            Server::Nats => self.nats,
        }
    }
}

/// One supervised process.
pub(crate) struct Handle {
    pub(crate) spec: Arc<Spec>,
    pub(crate) orders: Orders,
    pub(crate) seen: watch::Receiver<Seen>,
}

impl Stack {
    /// One gateway, one worker and the three servers, unless told otherwise.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) async fn create(settings: Settings) -> Result<Stack> {
        // What is missing is said before anything has been started.
        for server in Server::ALL {
            server.find().map_err(|absent| anyhow!("{absent}. Type: runlatch-local install"))?;
        }
        if settings.migrate {
            ["runlatch", "runlatch-gateway", "runlatch-worker"]
                .into_iter()
                .try_for_each(|name| binaries::find(name).map(drop))?;
        }
        let home = Arc::new(Home::create()?);
        let ports = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
        let [postgres, redis, nats] = ports.each_ref().map(Port::number);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (done, all_done) = channel::channel();
        let ports_of_servers = Ports { postgres, redis, nats };
        let wiring = if settings.wire { Wiring::lay(runtime.handle(), &ports_of_servers)? } else { Wiring::none() };
        let stack = Stack {
            home,
            settings,
            roles: Roles::draw(),
            pepper: random(),
            ports: ports_of_servers,
            wiring,
            processes: Mutex::default(),
            events: broadcast::Sender::new(1024),
            runtime: Some(runtime),
            reaped: Some(watch::Sender::new(())),
            supervisors: (Some(done), all_done),
        };
        stack.start_servers(ports).await?;
        if stack.settings.migrate {
            stack.migrate().await?;
        }
        let (gateways, workers) = (stack.settings.gateways, stack.settings.workers);
        let mut started = vec![];
        for _ in 0..gateways {
            started.push(stack.launch(stack.gateway_spec(&stack.settings.gateway)?));
        }
        for _ in 0..workers {
            started.push(stack.launch(stack.worker_spec(&stack.settings.worker)?));
        }
        try_join_all(started.iter().map(|handle| stack.first_ready(handle))).await?;
        Ok(stack)
    }

    async fn start_servers(&self, [postgres, redis, nats]: [Port; 3]) -> Result<()> {
        // These two start while initdb, which is the longest step of all, is at work.
        let redis = self.launch(redis::prepare(&self.settings, redis)?);
        let nats = self.launch(nats::prepare(&self.home, &self.settings, nats)?);
        let postgres = async {
            let (home, settings) = (self.home.clone(), self.settings.clone());
            let url = self.database_url(Role::Superuser);
            let password = self.roles.password(Role::Superuser).to_owned();
            let prepare = move || postgres::prepare(&home, &settings, &password, url, postgres);
            let postgres = self.launch(self.blocking(prepare).await??);
            // Shown first, since all the rest is there to fill it.
            self.handles().rotate_right(1);
            self.first_ready(&postgres).await
        };
        tokio::try_join!(postgres, self.first_ready(&redis), self.first_ready(&nats))?;
        self.roles.create_owner(self.ports.postgres).await
    }

    /// Puts a process under supervision and starts it.
    pub(crate) fn launch(&self, spec: Spec) -> Arc<Handle> {
        let (orders, received) = mpsc::unbounded_channel();
        let (seen, watcher) = watch::channel(Seen::stopped());
        let handle = Arc::new(Handle { spec: Arc::new(spec), orders, seen: watcher });
        let supervisor = Supervisor {
            spec: handle.spec.clone(),
            home: self.home.clone(),
            restart: self.settings.restart,
            seen,
            events: self.events.clone(),
            reaped: self.reaped.as_ref().expect("only `drop` takes it").subscribe(),
        };
        let done = self.supervisors.0.clone();
        self.runtime().spawn(async move {
            supervisor.run(received).await;
            drop(done);
        });
        handle.start();
        self.handles().push(handle.clone());
        handle
    }

    /// Runs what blocks on a thread of the stack's own.
    pub(crate) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        Ok(self.runtime().spawn_blocking(work).await?)
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only `drop` takes it")
    }

    pub(crate) fn handles(&self) -> MutexGuard<'_, Vec<Arc<Handle>>> {
        // It is never left half changed, so a panic elsewhere does not matter.
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn handle(&self, name: &str) -> Result<Arc<Handle>> {
        let found = self.handles().iter().find(|handle| handle.spec.name == name).cloned();
        found.with_context(|| format!("the stack has no process named {name:?}"))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        // A supervisor without orders starts nothing again; it only collects its child.
        self.handles().clear();
        self.supervisors.0 = None;
        self.home.clear();
        self.reaped = None;
        let _ = self.supervisors.1.recv_timeout(Duration::from_secs(1));
        // An ordinary drop would panic inside of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
