//! How much of what was written to one connection quinn may hold, and whose turn it is to write.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;

use crate::{
    limits::{FIRST_SEND_WINDOW, MAX_SEND_WINDOW},
    wire::TrafficClass,
};

/// The room for sending is looked at again after so many bytes.
const LOOK_AFTER_BYTES: usize = 65_536;
/// The room grows by this part of what was written.
const PART_OF_WRITTEN: u64 = 8;
/// How long a writer keeps its turn: longer than it takes until some room comes, unless its own reader is slow.
const SHORTEST_TURN: Duration = Duration::from_millis(1);
const LONGEST_TURN: Duration = Duration::from_millis(10);

/// What quinn may hold of what was written and is not acknowledged.
pub(crate) struct Sending {
    /// The most that the least urgent class may fill it to.
    room: AtomicU64,
    /// What quinn was told last.
    told: AtomicU64,
    /// Bytes written so far.
    written: AtomicU64,
    /// Bytes written since the room was looked at.
    since: AtomicUsize,
    /// Microseconds of [`Self::turn_time`].
    turn_micros: AtomicU64,
    /// Writers of each class that wait.
    waiting: [Arc<AtomicUsize>; CLASSES],
    /// One of each class may try.
    pub(crate) turns: [Semaphore; CLASSES],
}

const CLASSES: usize = TrafficClass::COUNT as usize;

/// What each class may fill the buffer more than the next less urgent one: more than travels at once, so that
/// what is most urgent takes the whole way.
const fn class_room(room: u64) -> u64 {
    room / 4 * 3
}

/// Counts a writer as one that waits.
pub(crate) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    pub(crate) fn start(sending: &Sending, class: TrafficClass) -> Self {
        let count = sending.waiting[class.index()].clone();
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sending {
    pub(crate) fn new() -> Self {
        Self {
            room: AtomicU64::new(FIRST_SEND_WINDOW),
            // Nothing yet that a write may rely on.
            told: AtomicU64::new(0),
            written: AtomicU64::new(0),
            since: AtomicUsize::new(0),
            turn_micros: AtomicU64::new(micros(LONGEST_TURN)),
            waiting: Default::default(),
            turns: [const { Semaphore::const_new(1) }; CLASSES],
        }
    }

    /// The most urgent class that waits, if it is more urgent than `class`.
    pub(crate) fn more_urgent(&self, class: TrafficClass) -> Option<TrafficClass> {
        let waits = |other: &TrafficClass| self.waiting[other.index()].load(Ordering::Relaxed) > 0;
        (0..TrafficClass::COUNT)
            .filter_map(TrafficClass::new)
            .take_while(|other| other.index() < class.index())
            .find(waits)
    }

    /// What to tell quinn before a write of this class, unless it knows.
    pub(crate) fn window_for(&self, class: TrafficClass) -> Option<u64> {
        let above = u64::try_from(class.priority()).unwrap_or(0);
        let room = self.room.load(Ordering::Relaxed);
        let window = room + class_room(room) * above;
        (self.told.swap(window, Ordering::Relaxed) != window).then_some(window)
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn turn_time(&self) -> Duration {
        Duration::from_micros(self.turn_micros.load(Ordering::Relaxed))
    }

    /// Whether it is time to look at the congestion window.
    pub(crate) fn wrote(&self, bytes: usize) -> bool {
        let since = self.since.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if since >= LOOK_AFTER_BYTES {
            self.since.store(0, Ordering::Relaxed);
            self.written.fetch_add(since as u64, Ordering::Relaxed);
        }
        since >= LOOK_AFTER_BYTES
    }

    /// Twice what may be under way: one half travels while the other is written. It grows only as the peer
    /// acknowledges, so whoever reads nothing makes this node keep little. And no faster than the window of a
    /// peer does: the first congestion window may be larger.
    pub(crate) fn follow(&self, congestion_window: u64, rtt: Duration) {
        let room = congestion_window
            .saturating_mul(2)
            .min(FIRST_SEND_WINDOW + self.written.load(Ordering::Relaxed) / PART_OF_WRITTEN)
            .clamp(FIRST_SEND_WINDOW, MAX_SEND_WINDOW);
        self.room.store(room, Ordering::Relaxed);
        let turn = (rtt / 4).clamp(SHORTEST_TURN, LONGEST_TURN);
        self.turn_micros.store(micros(turn), Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(20);

    #[test]
    fn each_class_may_fill_the_buffer_more_than_the_less_urgent() {
        let sending = Sending::new();
        let windows: Vec<u64> = (0..TrafficClass::COUNT)
            .filter_map(TrafficClass::new)
            .map(|class| {
                sending.window_for(class);
                sending.told.load(Ordering::Relaxed)
            })
            .collect();
        let rooms = [4, 3, 2, 1, 0].map(|above| FIRST_SEND_WINDOW + above * class_room(FIRST_SEND_WINDOW));
        assert_eq!(windows, rooms);
        let bulk = TrafficClass::new(4).unwrap();
        assert_eq!(sending.window_for(bulk), None);
        sending.follow(u64::MAX, RTT);
        assert_eq!(sending.window_for(bulk), None);
        sending.written.store(PART_OF_WRITTEN << 40, Ordering::Relaxed);
        for (congestion, room) in [
            (0, FIRST_SEND_WINDOW),
            (1 << 20, 2 << 20),
            (u64::MAX, MAX_SEND_WINDOW),
        ] {
            sending.follow(congestion, RTT);
            sending.window_for(bulk);
            assert_eq!(sending.told.load(Ordering::Relaxed), room);
        }
        for (rtt, turn) in [(0, SHORTEST_TURN), (20, RTT / 4), (2000, LONGEST_TURN)] {
            sending.follow(0, Duration::from_millis(rtt));
            assert_eq!(sending.turn_time(), turn);
        }
        let request = TrafficClass::new(1).unwrap();
        assert_eq!(sending.more_urgent(bulk), None);
        let waiting = Waiting::start(&sending, request);
        assert_eq!(sending.more_urgent(bulk), Some(request));
        assert_eq!(sending.more_urgent(request), None);
        drop(waiting);
        assert_eq!(sending.more_urgent(bulk), None);
        assert!(!sending.wrote(LOOK_AFTER_BYTES - 1));
        assert!(sending.wrote(1));
        assert!(!sending.wrote(1));
    }
}
