//! How many threads a process works with.

use std::io;
use std::thread::available_parallelism;

use clap::Args;
use tokio::runtime::{Builder, Runtime};

/// Threads that do the work.
#[derive(Args, Clone, Copy, Debug)]
pub struct Threads {
    /// Threads that do the work. Half of the cores unless set: the servers, or the kernel's side of the network, need the
    /// others.
    #[arg(long, env = "RUNLATCH_THREADS", default_value_t = half_of_the_cores(), value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
}

impl Threads {
    /// # Errors
    /// If the system gives no threads, or nothing to wait on.
    pub fn runtime(self) -> io::Result<Runtime> {
        let mut builder = match self.threads {
            // Has nobody to wake up, to steal from, or to lock out.
            1 => Builder::new_current_thread(),
            threads => {
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(threads.into());
                builder
            }
        };
        builder.enable_all().build()
    }
}

fn half_of_the_cores() -> u16 {
    let cores = available_parallelism().map_or(1, usize::from);
    u16::try_from(cores.div_ceil(2)).unwrap_or(u16::MAX).min(1024)
}
