//! What a stack is to be, and the order in which it comes to be.

use anyhow::Result;

use crate::Stack;

/// Says what to start. See [`Stack::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder(pub(crate) Settings);

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) gateways: usize,
    pub(crate) workers: usize,
    pub(crate) gateway: Extra,
    pub(crate) worker: Extra,
    pub(crate) migrate: bool,
    pub(crate) restart: bool,
    pub(crate) durable: bool,
    pub(crate) wire: bool,
    pub(crate) postgres: Vec<(String, String)>,
    pub(crate) redis: Vec<String>,
    pub(crate) nats: String,
}

/// Environment and arguments for a gateway or worker, on top of (and stronger than) what the stack gives it.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Extra {
    pub(crate) env: Vec<(String, String)>,
    pub(crate) args: Vec<String>,
}

impl Extra {
    /// Nothing yet.
    pub fn new() -> Extra {
        Extra::default()
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Extra {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Appends an argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Extra {
        self.args.push(arg.into());
        self
    }
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder(Settings {
            gateways: 1,
            workers: 1,
            gateway: Extra::new(),
            worker: Extra::new(),
            migrate: true,
            restart: true,
            durable: true,
            wire: false,
            postgres: vec![],
            redis: vec![],
            nats: String::new(),
        })
    }

    /// How many gateways (default 1).
    pub fn gateways(mut self, count: usize) -> Builder {
        self.0.gateways = count;
        self
    }

    /// How many workers (default 1). Without one a gateway cannot be ready, for want of a stream; a stack that is to have none
    /// waits until its gateways answer, and no longer.
    pub fn workers(mut self, count: usize) -> Builder {
        self.0.workers = count;
        self
    }

    /// What every gateway is given besides, those added later too.
    pub fn gateway(mut self, extra: Extra) -> Builder {
        self.0.gateway = extra;
        self
    }

    /// An environment variable of every gateway, where [`Builder::gateway`] has not set it yet.
    pub fn gateway_default(mut self, name: &str, value: &str) -> Builder {
        if self.0.gateway.env.iter().all(|(set, _)| set != name) {
            self.0.gateway = self.0.gateway.env(name, value);
        }
        self
    }

    /// What every worker is given besides, those added later too.
    pub fn worker(mut self, extra: Extra) -> Builder {
        self.0.worker = extra;
        self
    }

    /// Whether to run the migrations and create the logins of the operator, the gateways and the workers (default yes).
    /// Without it only the servers can be used.
    pub fn migrate(mut self, migrate: bool) -> Builder {
        self.0.migrate = migrate;
        self
    }

    /// Whether a process that dies is started again (default yes).
    pub fn restart(mut self, restart: bool) -> Builder {
        self.0.restart = restart;
        self
    }

    /// Whether PostgreSQL flushes to disk (default yes). Tests choose no, which is faster: what is committed survives the
    /// death of any process even so, and nothing here survives the machine.
    pub fn durable(mut self, durable: bool) -> Builder {
        self.0.durable = durable;
        self
    }

    /// Whether gateways and workers reach the servers over wires that can be made to fail (default no). See
    /// [`Stack::wire`].
    pub fn wire(mut self, wire: bool) -> Builder {
        self.0.wire = wire;
        self
    }

    /// Sets one PostgreSQL setting, as in `postgresql.conf`.
    pub fn postgres(mut self, name: impl Into<String>, value: impl Into<String>) -> Builder {
        self.0.postgres.push((name.into(), value.into()));
        self
    }

    /// Appends arguments for Redis, for example `["--maxmemory", "4mb"]`.
    pub fn redis<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Builder {
        self.0.redis.extend(args.into_iter().map(Into::into));
        self
    }

    /// Appends lines to the NATS configuration file, for example `max_payload: 65536`.
    pub fn nats(mut self, config: &str) -> Builder {
        self.0.nats.push_str(config);
        self.0.nats.push('\n');
        self
    }

    /// Starts it all, and returns when every process is ready. Fails with the reason, and the end of the log of the
    /// process at fault, once one dies or is not ready within half a minute; nothing is left behind then.
    pub async fn start(self) -> Result<Stack> {
        Stack::create(self.0).await
    }
}
