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
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use quinn::{Connection, SendStream, WriteError};
use tokio::time::{sleep, timeout};

use crate::{
    budget::Budget,
    limits::{
        FIRST_HELD_BYTES, FIRST_WRITE_AHEAD, MAX_CONNECTION_READ_AHEAD, MAX_CONNECTION_WRITE_AHEAD,
        MAX_HELD_BYTES, STREAM_READ_AHEAD, STREAM_READ_AHEAD_FREE,
    },
    sending::{Sending, Waiting},
    window::Window,
    wire::TrafficClass,
};

/// How long a writer lets a more urgent one go first before it looks again: that may wait for its reader alone.
const STEP_BACK_TIME: Duration = Duration::from_millis(1);
/// What is written at once: quinn keeps each part until all of it is acknowledged.
const PART_BYTES: usize = 32_768;

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
        let written = usize::try_from(self.sending.written()).unwrap_or(usize::MAX);
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
