//! Wakes the loop when the next delivery is due: to the microsecond, where epoll's own time-out counts milliseconds.

use std::time::Duration;

use anyhow::Result;
use mio::{Registry, Token};

pub(super) use self::system::Timer;

#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::{AsFd, AsRawFd};

    use mio::Interest;
    use mio::unix::SourceFd;
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

    use super::{Duration, Registry, Result, Token};

    pub(in super::super) struct Timer(TimerFd);

    impl Timer {
        /// Its events have this token, and are of no other use.
        pub(in super::super) fn new(registry: &Registry, token: Token) -> Result<Self> {
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
            registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self(timer))
        }

        /// Only its edge matters: setting it arms it again. Returns how long to wait for events, at most.
        pub(in super::super) fn wake_in(&self, wait: Duration, longest: Duration) -> Result<Duration> {
            let wait = wait.max(Duration::from_nanos(1));
            self.0.set(Expiration::OneShot(TimeSpec::from_duration(wait)), TimerSetTimeFlags::empty())?;
            Ok(longest)
        }
    }
}

/// kqueue's time-out counts nanoseconds.
#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Duration, Registry, Result, Token};

    pub(in super::super) struct Timer;

    impl Timer {
        pub(in super::super) fn new(_: &Registry, _: Token) -> Result<Self> {
            Ok(Self)
        }

        pub(in super::super) fn wake_in(&self, wait: Duration, longest: Duration) -> Result<Duration> {
            Ok(wait.min(longest))
        }
    }
}
