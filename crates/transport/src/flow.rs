//! Flow control of one connection: how much its writers hand to quinn, and how much the peer may send that nobody
//! has read.
//!
//! quinn sends what is most urgent first, but only of what it was given. So the less urgent must never fill its
//! buffer, nor the window of the peer: each class may fill the buffer a little less than the next more urgent one,
//! and the buffer follows the congestion window, which is well below what a peer's window grows to. A stream that
//! its owner doesn't read holds at most a stream's window; the connection's window is raised by as much, so that
//! what is more urgent still gets through.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use quinn::{Connection, SendStream, WriteError};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{
    budget::Budget,
    limits::{
        FIRST_HELD_BYTES, FIRST_SEND_WINDOW, FIRST_WRITE_AHEAD, MAX_CONNECTION_READ_AHEAD,
        MAX_CONNECTION_WRITE_AHEAD, MAX_HELD_BYTES, MAX_SEND_WINDOW, STREAM_READ_AHEAD,
        STREAM_READ_AHEAD_FREE,
    },
    window::Window,
    wire::TrafficClass,
};

/// The room for sending is looked at again after so many bytes.
const LOOK_AFTER_BYTES: usize = 65_536;
/// How long a writer lets a more urgent one go first before it looks again: that may wait for its reader alone.
const STEP_BACK_TIME: Duration = Duration::from_millis(1);
/// The room grows by this part of what was written.
const PART_OF_WRITTEN: u64 = 8;
/// What is written at once: quinn keeps each part until all of it is acknowledged.
const PART_BYTES: usize = 32_768;
/// How long a writer keeps its turn: longer than it takes until some room comes, unless its own reader is slow.
const SHORTEST_TURN: Duration = Duration::from_millis(1);
const LONGEST_TURN: Duration = Duration::from_millis(10);

/// See the module.
pub(crate) struct Flow {
    sending: Sending,
    window: Mutex<Window>,
    /// Bytes of streams that wait for the owner to read them.
    read_ahead: AtomicUsize,
    /// Bytes that the owner wrote to streams and quinn has not taken.
    write_ahead: AtomicUsize,
    /// Bytes of requests that wait for an answer.
    pub(crate) requests: AtomicUsize,
    /// Bytes of answers that the peer has not acknowledged.
    pub(crate) answers: AtomicUsize,
    /// Bytes of answers that the peer has: whoever reads may have more under way.
    earned: AtomicUsize,
}

impl Flow {
    pub(crate) fn new() -> Self {
        Self {
            sending: Sending::new(),
            window: Mutex::new(Window::new(Budget::of_process())),
            read_ahead: AtomicUsize::new(0),
            write_ahead: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            earned: AtomicUsize::new(0),
        }
    }

    /// Hands some of `bytes` to quinn, and takes it off them, as soon as this class has room. Writers of one class
    /// take turns.
    pub(crate) async fn write(
        &self,
        connection: &Connection,
        class: TrafficClass,
        send: &mut SendStream,
        bytes: &mut Bytes,
    ) -> Result<usize, WriteError> {
        let written = match self.write_at_once(connection, class, send, bytes).await {
            Some(written) => written,
            // Boxed: it is large, and every stream that does not write would hold room for it.
            None => Box::pin(self.write_in_turn(connection, class, send, bytes)).await,
        }?;
        bytes.advance(written);
        if self.sending.wrote(written) {
            let stats = connection.stats();
            self.sending.follow(stats.path.cwnd, stats.path.rtt);
        }
        Ok(written)
    }

    /// As [`Self::write`] when nobody has the turn and there is room now.
    async fn write_at_once(
        &self,
        connection: &Connection,
        class: TrafficClass,
        send: &mut SendStream,
        bytes: &Bytes,
    ) -> Option<Result<usize, WriteError>> {
        let _turn = self.sending.turns[class.index()].try_acquire().ok()?;
        let mut waiting = None;
        poll_fn(|context| {
            let tried = self.try_write(context, connection, class, (&mut *send, bytes), &mut waiting);
            Poll::Ready(if let Poll::Ready(written) = tried {
                written
            } else {
                None
            })
        })
        .await
    }

    async fn write_in_turn(
        &self,
        connection: &Connection,
        class: TrafficClass,
        send: &mut SendStream,
        bytes: &Bytes,
    ) -> Result<usize, WriteError> {
        let mut waiting = None;
        loop {
            // Never closed; without a turn it would only be unfair.
            let turn = self.sending.turns[class.index()].acquire().await;
            let attempts = async {
                loop {
                    let attempt = poll_fn(|context| {
                        self.try_write(context, connection, class, (&mut *send, bytes), &mut waiting)
                    });
                    match attempt.await {
                        Some(written) => break written,
                        None => sleep(STEP_BACK_TIME).await,
                    }
                }
            };
            if let Ok(written) = timeout(self.sending.turn_time(), attempts).await {
                return written;
            }
            drop(turn);
            // Others may go on, until quinn tells that this one may: its reader took some.
            let mut is_woken = false;
            let attempt = poll_fn(|context| {
                if std::mem::replace(&mut is_woken, true) {
                    return Poll::Ready(None);
                }
                self.try_write(context, connection, class, (&mut *send, bytes), &mut waiting)
                    .map(Some)
            });
            match attempt.await {
                Some(Some(written)) => return written,
                Some(None) => sleep(STEP_BACK_TIME).await,
                None => {}
            }
        }
    }

    /// Hands all of `bytes` to quinn as this class has room.
    pub(crate) async fn write_all(
        &self,
        connection: &Connection,
        class: TrafficClass,
        send: &mut SendStream,
        mut bytes: Bytes,
    ) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            self.write(connection, class, send, &mut bytes).await?;
        }
        Ok(())
    }

    /// Ready without a result when a more urgent writer waits.
    fn try_write(
        &self,
        context: &mut Context<'_>,
        connection: &Connection,
        class: TrafficClass,
        (send, bytes): (&mut SendStream, &Bytes),
        waiting: &mut Option<Waiting>,
    ) -> Poll<Option<Result<usize, WriteError>>> {
        self.make_room(connection, class);
        let mut part = [bytes.slice(..bytes.len().min(PART_BYTES))];
        let polled = pin!(send.write_chunks(&mut part)).poll(context);
        if let Poll::Ready(written) = polled {
            return Poll::Ready(Some(written.map(|written| written.bytes)));
        }
        waiting.get_or_insert_with(|| Waiting::start(&self.sending, class));
        match self.sending.more_urgent(class) {
            // quinn wakes by the window that it was told last: it has to be that of the more urgent.
            Some(urgent) => {
                self.make_room(connection, urgent);
                Poll::Ready(None)
            }
            None => Poll::Pending,
        }
    }

    fn make_room(&self, connection: &Connection, class: TrafficClass) {
        if let Some(window) = self.sending.window_for(class) {
            connection.set_send_window(window);
        }
    }

    /// Notes that bytes of streams were taken from quinn: a reader that keeps up may get more at once.
    pub(crate) fn consumed(&self, connection: &Connection, bytes: usize) {
        let rtt = || connection.rtt();
        let changed = self.window.lock().consumed(bytes as u64, Instant::now(), rtt);
        if let Some(bytes) = changed {
            connection.set_receive_window(bytes);
        }
    }

    /// Raises the peer's window by what a stream that nobody reads holds of it. False when there have been too
    /// many, or the budget is short.
    pub(crate) fn stall(&self, connection: &Connection) -> bool {
        let window = self.window.lock().stall();
        if let Some(window) = window {
            connection.set_receive_window(window);
        }
        window.is_some()
    }

    /// Takes back what [`Self::stall`] gave, as the peer uses it up.
    pub(crate) fn end_stall(&self, connection: &Connection) {
        let window = self.window.lock().end_stall();
        connection.set_receive_window(window);
    }

    /// How many bytes more may be read ahead for a stream that has `waiting` bytes.
    pub(crate) fn read_ahead_room(&self, waiting: usize) -> usize {
        let others_leave = self.read_ahead.load(Ordering::Relaxed) < MAX_CONNECTION_READ_AHEAD
            && Budget::of_process().free() > 0;
        let most = if others_leave {
            STREAM_READ_AHEAD
        } else {
            STREAM_READ_AHEAD_FREE
        };
        most.saturating_sub(waiting)
    }

    /// Bytes of requests and answers together.
    pub(crate) fn held(&self) -> usize {
        self.requests.load(Ordering::Relaxed) + self.answers.load(Ordering::Relaxed)
    }

    /// How many of those there may be. A peer that reads nothing makes this node keep little.
    pub(crate) fn room(&self) -> usize {
        FIRST_HELD_BYTES
            .saturating_add(self.earned.load(Ordering::Relaxed))
            .min(MAX_HELD_BYTES)
    }

    /// The peer has an answer of so many bytes.
    pub(crate) fn earn(&self, bytes: usize) {
        if self.earned.load(Ordering::Relaxed) < MAX_HELD_BYTES {
            self.earned.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Whether another stream may have more than one piece waiting to be written. A peer that takes nothing makes
    /// this node keep little.
    pub(crate) fn leaves_write_ahead(&self) -> bool {
        let written = usize::try_from(self.sending.written.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let most = FIRST_WRITE_AHEAD
            .saturating_add(written)
            .min(MAX_CONNECTION_WRITE_AHEAD);
        self.write_ahead.load(Ordering::Relaxed) < most
    }

    pub(crate) fn add_write_ahead(&self, bytes: usize) {
        self.write_ahead.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub_write_ahead(&self, bytes: usize) {
        self.write_ahead.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn count_written(&self, bytes: usize) {
        self.sending.wrote(bytes);
    }

    pub(crate) fn add_read_ahead(&self, bytes: usize) {
        self.read_ahead.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub_read_ahead(&self, bytes: usize) {
        self.read_ahead.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What quinn may hold of what was written and is not acknowledged.
struct Sending {
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
    turns: [Semaphore; CLASSES],
}

const CLASSES: usize = TrafficClass::COUNT as usize;

/// What each class may fill the buffer more than the next less urgent one: more than travels at once, so that
/// what is most urgent takes the whole way.
pub(crate) const fn class_room(room: u64) -> u64 {
    room / 4 * 3
}

/// Counts a writer as one that waits.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn start(sending: &Sending, class: TrafficClass) -> Self {
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
    fn new() -> Self {
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
    fn more_urgent(&self, class: TrafficClass) -> Option<TrafficClass> {
        let waits = |other: &TrafficClass| self.waiting[other.index()].load(Ordering::Relaxed) > 0;
        (0..TrafficClass::COUNT)
            .filter_map(TrafficClass::new)
            .take_while(|other| other.index() < class.index())
            .find(waits)
    }

    /// What to tell quinn before a write of this class, unless it knows.
    fn window_for(&self, class: TrafficClass) -> Option<u64> {
        let above = u64::try_from(class.priority()).unwrap_or(0);
        let room = self.room.load(Ordering::Relaxed);
        let window = room + class_room(room) * above;
        (self.told.swap(window, Ordering::Relaxed) != window).then_some(window)
    }

    fn turn_time(&self) -> Duration {
        Duration::from_micros(self.turn_micros.load(Ordering::Relaxed))
    }

    /// Whether it is time to look at the congestion window.
    fn wrote(&self, bytes: usize) -> bool {
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
    fn follow(&self, congestion_window: u64, rtt: Duration) {
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
