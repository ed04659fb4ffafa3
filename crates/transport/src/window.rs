//! How large the receive window of a connection should be. A peer may fill a window at any time, and with gaps that
//! nobody can read past; so a window is small until it is used, and grows while it is what holds a fast peer back.

use std::time::{Duration, Instant};

use crate::limits::{FIRST_WINDOW, FULL_WINDOW, STARTING_WINDOW};

/// A window that was used up within so many round trips and `SLACK` was what held the peer back.
const FAST_ROUND_TRIPS: u32 = 4;
/// A task of the owner's may be so late.
const SLACK: Duration = Duration::from_millis(20);
/// A window that took so many times longer is larger than it needs to be.
const SLOW: u32 = 16;

/// See the module. Everything is in bytes.
#[derive(Debug)]
pub(crate) struct Window {
    size: u64,
    /// What the peer may still send beyond `size` after it was made smaller: a window can't be taken back, it only
    /// is not renewed.
    debt: u64,
    /// Read from the network, and taken by the owner, since `since`.
    read: u64,
    taken: u64,
    since: Instant,
}

impl Window {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            size: STARTING_WINDOW,
            debt: 0,
            read: 0,
            taken: 0,
            since: now,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What the peer may make us hold beyond the window that every connection has.
    pub(crate) fn granted(&self) -> u64 {
        (self.size + self.debt).saturating_sub(STARTING_WINDOW)
    }

    /// `bytes` came from the network.
    pub(crate) fn read(&mut self, bytes: u64) {
        self.read += bytes;
        self.debt = self.debt.saturating_sub(bytes);
    }

    /// The owner took `bytes`.
    pub(crate) fn taken(&mut self, bytes: u64) {
        self.taken += bytes;
    }

    /// Whether [`Self::next`] has something to decide.
    pub(crate) fn is_due(&self) -> bool {
        self.taken >= self.size || (self.size < FIRST_WINDOW && self.read >= self.size / 2)
    }

    /// The size that it should have from now on, when that is another; `is_short` when memory is.
    pub(crate) fn next(&mut self, now: Instant, round_trip: Duration, is_short: bool) -> Option<u64> {
        // The first step is for whatever comes over a connection that is used at all.
        if self.size < FIRST_WINDOW && !is_short {
            return (self.read >= self.size / 2).then_some(FIRST_WINDOW);
        }
        if self.taken < self.size {
            return None;
        }
        let fast = FAST_ROUND_TRIPS * round_trip + SLACK;
        let passed = now.saturating_duration_since(self.since);
        self.begin(now);
        match passed {
            _ if is_short => (self.size > STARTING_WINDOW).then(|| (self.size / 2).max(STARTING_WINDOW)),
            // What was owed is still a larger window than this.
            _ if self.debt > 0 => None,
            passed if passed <= fast => (self.size < FULL_WINDOW).then_some(self.size * 2),
            passed if passed > SLOW * fast => (self.size > FIRST_WINDOW).then_some(self.size / 2),
            _ => None,
        }
    }

    /// Has that size now.
    pub(crate) fn set(&mut self, size: u64, now: Instant) {
        self.debt += self.size.saturating_sub(size);
        self.size = size;
        self.begin(now);
    }

    fn begin(&mut self, now: Instant) {
        self.read = 0;
        self.taken = 0;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    /// Uses up one window within `time` and does what it says; answers its size then.
    fn use_up(window: &mut Window, now: &mut Instant, time: Duration, is_short: bool) -> u64 {
        let size = window.size();
        *now += time;
        window.read(size);
        window.taken(size);
        if let Some(size) = window.next(*now, RTT, is_short) {
            window.set(size, *now);
        }
        window.size()
    }

    #[test]
    fn it_grows_to_the_full_window_and_not_beyond_while_it_holds_the_peer_back() {
        let mut now = Instant::now();
        let mut window = Window::new(now);
        let sizes: Vec<u64> = (0..8)
            .map(|_| use_up(&mut window, &mut now, RTT, false))
            .collect();
        let expected = [1, 2, 4, 8, 16, 16, 16, 16].map(|factor| factor * FIRST_WINDOW);
        assert_eq!(sizes, expected);
        assert_eq!(window.size(), FULL_WINDOW);
        assert_eq!(window.granted(), FULL_WINDOW - STARTING_WINDOW);
    }

    #[test]
    fn what_nobody_takes_gets_the_first_window_and_no_more() {
        let now = Instant::now();
        let mut window = Window::new(now);
        window.read(STARTING_WINDOW / 2 - 1);
        assert_eq!(window.next(now, RTT, false), None);
        window.read(1);
        assert_eq!(window.next(now, RTT, false), Some(FIRST_WINDOW));
        window.set(FIRST_WINDOW, now);
        window.read(FIRST_WINDOW);
        window.taken(FIRST_WINDOW - 1);
        assert_eq!(window.next(now, RTT, false), None);
        window.taken(1);
        assert_eq!(window.next(now, RTT, false), Some(2 * FIRST_WINDOW));
    }

    #[test]
    fn a_peer_that_is_slow_by_itself_gets_no_more_and_in_the_end_less() {
        let mut now = Instant::now();
        let mut window = Window::new(now);
        for _ in 0..3 {
            use_up(&mut window, &mut now, RTT, false);
        }
        assert_eq!(window.size(), 4 * FIRST_WINDOW);
        let fast = FAST_ROUND_TRIPS * RTT + SLACK;
        let a_bit_slow = fast + Duration::from_millis(1);
        assert_eq!(use_up(&mut window, &mut now, a_bit_slow, false), 4 * FIRST_WINDOW);
        assert_eq!(
            use_up(&mut window, &mut now, SLOW * fast, false),
            4 * FIRST_WINDOW
        );
        let slow = SLOW * fast + Duration::from_millis(1);
        assert_eq!(use_up(&mut window, &mut now, slow, false), 2 * FIRST_WINDOW);
        // What the peer was promised stays counted until it has used it.
        assert_eq!(window.granted(), 4 * FIRST_WINDOW - STARTING_WINDOW);
        assert_eq!(use_up(&mut window, &mut now, slow, false), FIRST_WINDOW);
        assert_eq!(use_up(&mut window, &mut now, slow, false), FIRST_WINDOW);
        assert_eq!(window.granted(), FIRST_WINDOW - STARTING_WINDOW);
    }

    #[test]
    fn memory_that_is_short_shrinks_it_to_where_it_started() {
        let mut now = Instant::now();
        let mut window = Window::new(now);
        assert_eq!(use_up(&mut window, &mut now, RTT, true), STARTING_WINDOW);
        for _ in 0..5 {
            use_up(&mut window, &mut now, RTT, false);
        }
        assert_eq!(window.size(), FULL_WINDOW);
        for _ in 0..20 {
            use_up(&mut window, &mut now, RTT, true);
        }
        assert_eq!((window.size(), window.granted()), (STARTING_WINDOW, 0));
    }
}
