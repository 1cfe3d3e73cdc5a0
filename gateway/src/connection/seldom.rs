//! Asks what hardly ever has something to say only when it has.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::{Stream, StreamExt};

/// A stream that shares its task with others, who wake it all the time. Then it costs a look at a flag.
pub(super) struct Seldom<S> {
    stream: S,
    bell: Option<Arc<Bell>>,
}

/// What the stream is given to wake.
struct Bell {
    task: Waker,
    rung: AtomicBool,
}

impl<S> Seldom<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, bell: None }
    }

    /// Changes the stream, which is asked again then.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut S)) {
        change(&mut self.stream);
        self.bell = None;
    }
}

impl<S: Stream + Unpin> Stream for Seldom<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        // Another task, or the first look.
        let bell = match &mut this.bell {
            Some(bell) if bell.task.will_wake(context.waker()) => bell,
            bell => bell.insert(Arc::new(Bell { task: context.waker().clone(), rung: AtomicBool::new(true) })),
        };
        // Before it is asked: what happens from now on rings again. Looked at first, which is cheaper; whoever rings wakes the
        // task after that, so that the next look finds it.
        if !bell.rung.load(Ordering::Relaxed) || !bell.rung.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let polled = this.stream.poll_next_unpin(&mut Context::from_waker(&Waker::from(Arc::clone(bell))));
        if polled.is_ready() {
            // It may have more to say.
            bell.rung.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use futures_util::stream;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn asks_only_what_has_woken_its_task() {
        let (asked, given, said) = (AtomicUsize::new(0), Mutex::new(Waker::noop().clone()), AtomicBool::new(false));
        let mut seldom = Seldom::new(stream::poll_fn(|context| {
            asked.fetch_add(1, Ordering::Relaxed);
            given.lock().expect("whole").clone_from(context.waker());
            if said.swap(false, Ordering::Relaxed) { Poll::Ready(Some(())) } else { Poll::Pending }
        }));
        let tasks = [(); 2].map(|()| Arc::new(Task::default()));
        let [one, other] = [0, 1].map(|index| Waker::from(Arc::clone(&tasks[index])));
        let mut ask = |task: &Waker| {
            let polled = seldom.poll_next_unpin(&mut Context::from_waker(task));
            (polled.is_ready(), asked.load(Ordering::Relaxed))
        };
        assert_eq!([ask(&one), ask(&one)], [(false, 1); 2], "it has not rung");
        given.lock().expect("whole").wake_by_ref();
        assert_eq!([ask(&one), ask(&one)], [(false, 2); 2]);
        assert_eq!([ask(&other), ask(&other)], [(false, 3); 2], "another task is to be woken now");
        said.store(true, Ordering::Relaxed);
        given.lock().expect("whole").wake_by_ref();
        assert_eq!([ask(&other), ask(&other), ask(&other)], [(true, 4), (false, 5), (false, 5)], "it may say more");
        assert_eq!([0, 1].map(|index| tasks[index].0.load(Ordering::Relaxed)), [1, 1]);
        seldom.change(|_| ());
        assert!(seldom.poll_next_unpin(&mut Context::from_waker(&other)).is_pending());
        assert_eq!(asked.load(Ordering::Relaxed), 6, "it may be another one");
    }
}
