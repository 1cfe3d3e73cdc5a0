//! A gateway under attack, and what must hold of it however it is attacked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Delivery, Playbook, World};
use local::Extra;

/// Longest time to a 202 for those who behave, on new connections. Far below the time-outs that an attacker could make
/// others wait for, far above what a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The bounds that the gateway is given, small enough that an attack can reach them.
pub(crate) const CONNECTIONS: usize = 200;
pub(crate) const IN_FLIGHT: usize = 64;
pub(crate) const BODY: usize = 128 * 1024;
const HEAD: usize = 32 * 1024;
/// What comes of a body over HTTP/2 before it is refused (`gateway/src/connection.rs`).
const WINDOW: usize = 64 * 1024;
/// What h2 keeps of a hundred streams, whatever becomes of them.
const TABLE: usize = 96 * 1024;
/// A stream with an answer that is not taken.
const ANSWER: usize = 10 * 1024;

/// A time after which silence is cut off, where that is not what is put to the test.
pub(crate) const SILENCE: &str = "3s";

/// What an attack may take, beyond an idle gateway. A connection has a buffer to read and one to write, each as long as
/// a head may be; over HTTP/2 its streams. All strangers together have as many of these open as deliveries may be in
/// flight, each with its head until it is looked at. A delivery has its head, its body, and once more its body in
/// the message; a refusal whose body is being drained has its head. The rest is the allocator's.
pub(crate) const fn memory(http2_connections: usize) -> usize {
    let connections = CONNECTIONS * 2 * HEAD + http2_connections * (WINDOW + TABLE);
    let strangers = IN_FLIGHT * (HEAD + ANSWER);
    connections + strangers + IN_FLIGHT * (HEAD + 2 * BODY) + IN_FLIGHT * HEAD + (24 << 20)
}

pub(crate) struct Siege {
    pub(crate) world: World,
    pub(crate) deploy: Playbook,
    pub(crate) url: String,
    pid: u32,
    before: usize,
    served: AtomicUsize,
}

impl Siege {
    pub(crate) async fn begin(silence: &str) -> Self {
        let bounds = Extra::new()
            .env("RUNLATCH_MAX_CONNECTIONS", CONNECTIONS.to_string())
            .env("RUNLATCH_MAX_IN_FLIGHT", IN_FLIGHT.to_string())
            .env("RUNLATCH_MAX_BODY_BYTES", BODY.to_string())
            .env("RUNLATCH_HEADER_TIMEOUT", silence)
            .env("RUNLATCH_BODY_TIMEOUT", "3s")
            // Whatever can be logged is (I7).
            .env("RUNLATCH_LOG", "trace");
        let mut world = World::with(|builder| builder.gateway(bounds)).await;
        let deploy = world.playbook("acme/deploy").await;
        // Each on a connection of its own: who has one already proves little.
        world.http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        let (url, pid) = (world.stack.url(), pid(&world));
        Self { before: status(pid, "VmRSS"), world, deploy, url, pid, served: AtomicUsize::new(0) }
    }

    /// Those who behave are served meanwhile.
    pub(crate) async fn serves(&self) {
        for _ in 0..3 {
            let begun = Instant::now();
            let sending = tokio::time::timeout(PATIENCE, self.world.send(self.delivery()));
            sending.await.unwrap_or_else(|_| panic!("no answer in {:?}", begun.elapsed())).created();
        }
    }

    /// So is who comes with many deliveries at once, all on one new connection.
    pub(crate) async fn serves_many(&self) {
        let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
        let sending = (0..IN_FLIGHT / 2).map(|_| self.world.try_send_by(&client, self.delivery()));
        let answers = tokio::time::timeout(PATIENCE, join_all(sending)).await.expect("answers");
        for answer in answers {
            _ = answer.expect("an answer").created();
        }
    }

    fn delivery(&self) -> Delivery {
        self.deploy.delivery(&format!("served-{}", self.served.fetch_add(1, Ordering::Relaxed)))
    }

    /// Requests that were answered.
    pub(crate) async fn answered(&self) -> f64 {
        self.world.total("gateway-1", "runlatch_gateway_deliveries_total").await
    }

    /// One of their heads, with the right secret or another, ready for a body.
    pub(crate) fn head(&self, secret: &str, key: &str, more: &str) -> String {
        format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {secret}\r\nx-idempotency-key: {key}\r\n{more}\r\n",
            self.deploy.path
        )
    }

    /// The same process, within its memory, no error (a panic is one) in its log; and no key is bound but of those who were served (I6).
    pub(crate) async fn end(self, bound: usize) {
        self.serves().await;
        assert_eq!(pid(&self.world), self.pid, "it was restarted");
        // The kernel counts pages on each processor and adds them up now and then, so both are inaccurate by a few hundred KiB (proc(5));
        // of a process that has not grown, the peak may read as less than what it had before.
        let peak = status(self.pid, "VmHWM").saturating_sub(self.before);
        assert!(peak < bound, "{} KiB more than before, of {} KiB", peak >> 10, bound >> 10);
        let log = self.world.stack.log("gateway-1");
        assert!(!log.contains(" ERROR "), "{log}");
        // What strangers do must not fill the disk either.
        let foreign = log.lines().find(|line| line.contains(" h2::") || line.contains(" hyper"));
        assert_eq!(foreign, None);
        self.world.settled().await;
        let claims: Vec<String> = self.world.redis(redis::cmd("KEYS").arg("rl:????????-*")).await;
        let served = self.served.into_inner();
        assert_eq!((claims.len(), self.world.runs().await.len()), (served, served));
        self.world.end().await;
    }
}

fn pid(world: &World) -> u32 {
    let processes = world.stack.processes();
    let gateway = processes.iter().find(|process| process.name == "gateway-1").expect("a gateway");
    gateway.pid.expect("it runs")
}

/// Bytes, of the field of this name.
fn status(pid: u32, name: &str) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let field = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a field");
    field.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}
