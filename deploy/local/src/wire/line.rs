//! One line: a port, the connections accepted there, and the rules that hold for them.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpListener, runtime::Handle, sync::watch, time::sleep};

use super::{Counts, Toward, pump::Connection, rules::Rules, trap::Trap};
use crate::port::Port;

/// Its connections live as long as it does.
pub(super) struct Line {
    port: Port,
    rules: watch::Sender<Rules>,
    listening: watch::Receiver<bool>,
    /// Held while the listener is closed or opened, so that neither waits for what the other undoes.
    turn: tokio::sync::Mutex<()>,
    shared: Arc<Shared>,
}

/// What a line has in common with its connections.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) trap: Mutex<Option<Trap>>,
    pub(super) accepted: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) cut: AtomicU64,
    /// Bytes by direction.
    pub(super) passed: [AtomicU64; 2],
}

impl Line {
    /// Listens when it returns.
    pub(super) fn lay(runtime: &Handle, port: Port, target: u16) -> io::Result<Line> {
        let _within = runtime.enter();
        let listener = bind(port.number())?;
        let rules = watch::Sender::new(Rules::new());
        let (bound, listening) = watch::channel(true);
        let shared = Arc::<Shared>::default();
        runtime.spawn(listen(listener, port.number(), target, rules.subscribe(), bound, shared.clone()));
        Ok(Line { port, rules, listening, turn: tokio::sync::Mutex::default(), shared })
    }

    pub(super) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(super) fn rule(&self, change: impl FnOnce(&mut Rules)) {
        self.rules.send_modify(change);
    }

    pub(super) fn trap(&self, trap: Option<Trap>) {
        *self.shared.trap.lock().unwrap_or_else(PoisonError::into_inner) = trap;
    }

    /// Closes or opens the listener.
    pub(super) async fn listen(&self, wanted: bool) {
        let _turn = self.turn.lock().await;
        self.rule(|rules| rules.refuse = !wanted);
        // Fails only once the runtime has ended; nobody listens then.
        _ = self.listening.clone().wait_for(|listening| *listening == wanted).await;
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Ends first, or connections that come and go meanwhile would make the difference negative.
        let ended = self.shared.ended.load(Ordering::Acquire);
        let accepted = read(&self.shared.accepted);
        Counts {
            accepted,
            live: accepted - ended,
            cut: read(&self.shared.cut),
            to_server: read(&self.shared.passed[Toward::Server as usize]),
            to_client: read(&self.shared.passed[Toward::Client as usize]),
        }
    }
}

fn bind(port: u16) -> io::Result<TcpListener> {
    // With SO_REUSEADDR, so that connections of before are not in the way.
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Listens but while it is to refuse, until the line is gone.
async fn listen(
    mut listener: TcpListener,
    port: u16,
    target: u16,
    rules: watch::Receiver<Rules>,
    listening: watch::Sender<bool>,
    shared: Arc<Shared>,
) {
    loop {
        let there = tokio::select! {
            there = told(&rules, true) => there,
            () = accept(&listener, target, &rules, &shared) => true,
        };
        drop(listener);
        listening.send_replace(false);
        if !there || !told(&rules, false).await {
            return;
        }
        listener = loop {
            match bind(port) {
                Ok(listener) => break listener,
                // The port is reserved for us; whoever took it all the same is waited for.
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        };
        listening.send_replace(true);
    }
}

/// Waits until the line is to refuse, or not to; false if it is gone.
async fn told(rules: &watch::Receiver<Rules>, refuse: bool) -> bool {
    rules.clone().wait_for(|rules| rules.refuse == refuse).await.is_ok()
}

async fn accept(listener: &TcpListener, target: u16, rules: &watch::Receiver<Rules>, shared: &Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(Connection::new(rules.clone(), shared.clone()).run(client, target))),
            // A lack of file descriptors passes.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}
