//! What holds on a line, as its connections watch it.

use std::time::Duration;

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// What becomes of what is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Pass,
    Hold,
    Swallow,
}

/// Lasting faults, and how often each fault of a moment has happened: a connection compares that with what it was when
/// it was accepted.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) delay: Duration,
    pub(super) piece: usize,
    pub(super) flow: Flow,
    pub(super) refuse: bool,
    pub(super) cuts: u64,
    pub(super) holes: u64,
    /// By direction.
    pub(super) fins: [u64; 2],
}

impl Rules {
    pub(super) fn new() -> Rules {
        Rules { delay: Duration::ZERO, piece: PIECE, flow: Flow::Pass, refuse: false, cuts: 0, holes: 0, fins: [0; 2] }
    }

    pub(super) fn heal(&mut self) {
        // Not `refuse`, which goes with the listener.
        let Rules { refuse, cuts, holes, fins, .. } = *self;
        *self = Rules { refuse, cuts, holes, fins, ..Rules::new() };
    }
}
