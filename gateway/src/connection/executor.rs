//! Runs the requests of one HTTP/2 connection.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use hyper::rt;

/// Gives each request a task of its own, except where the one that has just come is known to be refused. Its answer is
/// there at once, and either the peer has room for it or does without: a task would wait for its turn behind others, and
/// thousands could come meanwhile.
#[derive(Clone, Default)]
pub(crate) struct Executor {
    at_once: Arc<AtomicBool>,
}

impl Executor {
    /// What is executed next is to end at once. hyper executes a request as soon as the service has been called for it.
    pub(crate) fn at_once(&self) {
        self.at_once.store(true, Ordering::Relaxed);
    }
}

impl<F> rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        if self.at_once.load(Ordering::Relaxed) {
            self.at_once.store(false, Ordering::Relaxed);
            _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
        } else {
            tokio::spawn(future);
        }
    }
}
