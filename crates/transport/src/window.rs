//! The window of a connection: how much the peer may send that was not taken from quinn.

use std::time::{Duration, Instant};

use quinn::VarInt;

use crate::{
    budget::{Budget, Kind, Share},
    limits::{FIRST_WINDOW, MAX_STALLED_STREAMS, MAX_WINDOW, STREAM_WINDOW},
};

/// The shortest time in which a reader is looked at: below it the clock says little.
const SHORTEST_ROUND: Duration = Duration::from_millis(10);
/// No connection takes more of the budget than this part of what is left.
const PART_OF_FREE: u64 = 4;

/// Grows while the owner reads as fast as bytes come, and by what streams hold that nobody reads.
pub(crate) struct Window {
    budget: &'static Budget,
    /// Without what streams that nobody reads add.
    base: u64,
    stalled: u64,
    /// What the peer was granted above the window of now, and uses up. Credit can't be taken back in QUIC.
    owed: u64,
    /// All above the first window.
    share: Share,
    consumed: u64,
    round_began: Instant,
}

impl Window {
    pub(crate) fn new(budget: &'static Budget) -> Self {
        Self {
            budget,
            base: u64::from(FIRST_WINDOW),
            stalled: 0,
            owed: 0,
            share: Share::empty(budget, Kind::Receive),
            consumed: 0,
            round_began: Instant::now(),
        }
    }

    fn bytes(&self) -> VarInt {
        let window = self.base + self.stalled * u64::from(STREAM_WINDOW);
        VarInt::from_u64(window).unwrap_or(VarInt::MAX)
    }

    /// Takes `bytes` more of the budget unless that were more than this connection's part.
    fn take(&mut self, bytes: u64) -> bool {
        let after = self.share.bytes() as u64 + bytes;
        after <= self.budget.free().saturating_sub(bytes) / PART_OF_FREE
            && usize::try_from(bytes).is_ok_and(|bytes| self.share.grow(bytes))
    }

    fn is_too_large(&self) -> bool {
        self.share.bytes() as u64 > self.budget.free() / PART_OF_FREE
    }

    /// The new window when it changes.
    pub(crate) fn consumed(
        &mut self,
        bytes: u64,
        now: Instant,
        rtt: impl Fn() -> Duration,
    ) -> Option<VarInt> {
        if self.owed > 0 {
            let paid = bytes.min(self.owed);
            self.owed -= paid;
            let left = self
                .share
                .bytes()
                .saturating_sub(usize::try_from(paid).unwrap_or(0));
            self.share.shrink_to(left);
        }
        self.consumed += bytes;
        // A quarter of the window in two round trips: the window becomes eight times what travels in one.
        if self.consumed < self.base / 4 {
            return None;
        }
        self.consumed = 0;
        let took = now.saturating_duration_since(self.round_began);
        self.round_began = now;
        if self.base > u64::from(FIRST_WINDOW) && self.is_too_large() {
            self.base /= 2;
            self.owed += self.base;
            return Some(self.bytes());
        }
        let is_fast = took <= (2 * rtt()).max(SHORTEST_ROUND);
        if is_fast && self.base < u64::from(MAX_WINDOW) && self.take(self.base) {
            self.base *= 2;
            return Some(self.bytes());
        }
        None
    }

    /// The new window.
    pub(crate) fn stall(&mut self) -> Option<VarInt> {
        let each = u64::from(STREAM_WINDOW);
        // What is owed from earlier ones counts: the peer may still use it.
        let most = MAX_STALLED_STREAMS * each;
        if self.stalled * each + self.owed + each > most || !self.take(each) {
            return None;
        }
        self.stalled += 1;
        Some(self.bytes())
    }

    pub(crate) fn end_stall(&mut self) -> VarInt {
        self.stalled -= 1;
        self.owed += u64::from(STREAM_WINDOW);
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u64 = FIRST_WINDOW as u64;
    const MOST: u64 = MAX_WINDOW as u64;
    const EACH: u64 = STREAM_WINDOW as u64;
    const RTT: Duration = Duration::from_millis(50);

    fn budget(limit: u64) -> &'static Budget {
        Box::leak(Box::new(Budget::new(limit)))
    }

    fn window(limit: u64) -> Window {
        Window::new(budget(limit))
    }

    /// Reads so many bytes in a time, a packet train at a time.
    fn read(window: &mut Window, clock: &mut Instant, bytes: u64, time: Duration) {
        for _ in 0..100 {
            *clock += time / 100;
            window.consumed(bytes / 100, *clock, || RTT);
        }
    }

    #[test]
    fn a_window_grows_while_its_reader_keeps_up_and_ends_at_the_most() {
        let mut clock = Instant::now();
        let mut fast = window(1 << 30);
        let mut windows = vec![fast.base];
        for _ in 0..40 {
            let base = fast.base;
            read(&mut fast, &mut clock, base, RTT);
            windows.push(fast.base);
        }
        windows.dedup();
        assert_eq!(*windows.last().unwrap(), MOST);
        assert!(windows.iter().all(|window| *window <= MOST));
        assert_eq!(fast.share.bytes() as u64, MOST - FIRST);

        // An eighth of the window in a round trip is as fast as it needs to be.
        clock = Instant::now();
        let mut slow = window(1 << 30);
        for _ in 0..40 {
            read(&mut slow, &mut clock, FIRST, RTT * 9);
        }
        assert_eq!((slow.base, slow.share.bytes()), (FIRST, 0));
    }

    #[test]
    fn a_short_budget_leaves_the_first_window_and_takes_larger_ones_back() {
        let mut clock = Instant::now();
        let mut first = window(5 * FIRST - 1);
        read(&mut first, &mut clock, FIRST, RTT);
        assert_eq!(first.base, FIRST);
        clock = Instant::now();
        let mut second = window(5 * FIRST);
        read(&mut second, &mut clock, FIRST / 3, RTT / 4);
        assert_eq!(second.base, 2 * FIRST);

        let budget = budget(1 << 30);
        let mut shrinking = Window::new(budget);
        clock = Instant::now();
        for _ in 0..40 {
            let base = shrinking.base;
            read(&mut shrinking, &mut clock, base, RTT);
        }
        assert_eq!(shrinking.base, MOST);
        let mut others = Share::empty(budget, Kind::Answers);
        others.count(1 << 30);
        read(&mut shrinking, &mut clock, MOST / 4, RTT);
        // What the peer was granted is held until it is used up.
        assert!(shrinking.base < MOST && shrinking.owed > 0);
        let held = shrinking.base + shrinking.owed - FIRST;
        assert_eq!(shrinking.share.bytes() as u64, held);
        read(&mut shrinking, &mut clock, 8 * MOST, RTT);
        assert_eq!(
            (shrinking.base, shrinking.owed, shrinking.share.bytes()),
            (FIRST, 0, 0)
        );
    }

    #[test]
    fn so_many_streams_may_stall_and_one_more_adds_nothing() {
        let mut stalling = window(1 << 40);
        for count in 1..=MAX_STALLED_STREAMS {
            let window = stalling.stall().unwrap();
            assert_eq!(u64::from(window), FIRST + count * EACH);
        }
        assert_eq!(stalling.stall(), None);
        assert_eq!(stalling.share.bytes() as u64, MAX_STALLED_STREAMS * EACH);

        // One that ends makes no room before the peer has used up what it was granted.
        assert_eq!(
            u64::from(stalling.end_stall()),
            FIRST + (MAX_STALLED_STREAMS - 1) * EACH
        );
        assert_eq!(stalling.stall(), None);
        stalling.consumed(EACH - 1, Instant::now(), || RTT);
        assert_eq!(stalling.stall(), None);
        stalling.consumed(1, Instant::now(), || RTT);
        assert!(stalling.stall().is_some());
        assert_eq!(window(5 * EACH - 1).stall(), None);
        assert!(window(5 * EACH).stall().is_some());
    }
}
