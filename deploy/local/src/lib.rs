//! A private, supervised stack of real servers on free ports: how a newcomer, the tests, the faults and the benches
//! all start Runlatch.
//!
//! A [`Stack`] runs this machine's own `postgres`, `redis-server` and `nats-server`, and Runlatch's gateways and workers, as
//! child processes with their files in one private directory. It starts them in order and waits until each is ready; it
//! starts again, on the same port and data, what dies, as a cluster would; and when it is dropped, panics or is killed,
//! no process and no file is left. Stacks know nothing of each other, so any number of them run side by side. Between the
//! programs and the servers there can be a [`Wire`] that fails as it is told.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use local::Stack;
//!
//! let stack = Stack::builder().gateways(2).durable(false).start().await?;
//! stack.catalog("[organizations.demo]\nname = \"Demo\"").await?;
//! stack.kill("redis").await?;
//! stack.ready("redis").await?;
//! # Ok(())
//! # }
//! ```

mod addresses;
mod binaries;
mod builder;
mod control;
mod home;
pub mod install;
mod log;
mod nats;
mod operator;
mod port;
mod postgres;
mod probe;
mod process;
mod redis;
mod roles;
pub mod servers;
mod stack;
mod supervise;
mod wire;
mod wiring;

pub use builder::{Builder, Extra};
pub use process::{Event, Process, State};
pub use roles::Role;
pub use servers::Server;
pub use stack::Stack;
pub use wire::{Counts, Toward, Wire};
