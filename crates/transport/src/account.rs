//! What one connection makes this process hold, and how much it may. A peer that reads nothing and fills everything
//! that it may pins less than 2 MiB: 768 KiB in the receive window, 384 KiB read ahead, 256 KiB for one body beyond
//! that, 256 KiB under way to it, 256 KiB of datagrams, and the state of its streams. More has to be earned by
//! bytes that the owner really took and the peer really acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use quinn::{Connection, VarInt};
use tokio::sync::{Notify, Semaphore};

use crate::{
    budget::{Budget, Kind, Share},
    counted::Tally,
    limits::{FIRST_SEND_WINDOW, LEAST_READ_AHEAD, READ_AHEAD, READ_AHEAD_RESERVE, SEND_WINDOW},
    window::Window,
};

pub(crate) struct Account {
    budget: &'static Budget,
    receive: Mutex<Receive>,
    /// Bytes of streams and requests that were read from the network and that the owner has not taken.
    ahead: AtomicUsize,
    most_ahead: AtomicUsize,
    /// What the owner took since `receive` was last looked at.
    taken: AtomicU64,
    /// Something waits for `less_ahead`.
    is_starved: AtomicBool,
    less_ahead: Notify,
    send_window: AtomicUsize,
    /// When so many bytes are acknowledged the send window is looked at again.
    send_window_due: AtomicU64,
    /// Answers on their way to the peer, until acknowledged.
    pub(crate) answers: Arc<Tally>,
    /// What the owner sends by itself, requests and streams, until acknowledged.
    pub(crate) written: Arc<Tally>,
    /// Datagrams that wait for the owner.
    pub(crate) datagrams: Arc<Tally>,
    /// Datagrams that wait to be sent.
    pub(crate) outgoing_datagrams: Arc<Tally>,
    /// Who holds it may read one body to its end although too much is held already: else none would ever end.
    pub(crate) last_body: Arc<Semaphore>,
}

struct Receive {
    window: Window,
    share: Share,
    has_ended: bool,
}

impl Account {
    pub(crate) fn new() -> Arc<Self> {
        Self::within(Budget::of_process())
    }

    fn within(budget: &'static Budget) -> Arc<Self> {
        Arc::new(Self {
            budget,
            receive: Mutex::new(Receive {
                window: Window::new(Instant::now()),
                share: Share::empty(budget, Kind::Receive),
                has_ended: false,
            }),
            ahead: AtomicUsize::new(0),
            most_ahead: AtomicUsize::new(READ_AHEAD),
            taken: AtomicU64::new(0),
            is_starved: AtomicBool::new(false),
            less_ahead: Notify::new(),
            send_window: AtomicUsize::new(FIRST_SEND_WINDOW),
            send_window_due: AtomicU64::new(FIRST_SEND_WINDOW as u64),
            answers: Tally::new(budget, Kind::Answers),
            written: Tally::new(budget, Kind::Answers),
            datagrams: Tally::new(budget, Kind::Datagrams),
            outgoing_datagrams: Tally::new(budget, Kind::Datagrams),
            last_body: Arc::new(Semaphore::new(1)),
        })
    }

    /// Bytes that may still be read ahead of the owner for a stream or request that has `own` of them. One that has
    /// few may use a reserve, so that what is not read doesn't stop the others.
    pub(crate) fn room_ahead(&self, own: usize) -> usize {
        let ahead = self.ahead.load(Ordering::SeqCst);
        let room = self.most_ahead().saturating_sub(ahead);
        let little = LEAST_READ_AHEAD.saturating_sub(own);
        room.max(little.min((self.most_ahead() + READ_AHEAD_RESERVE).saturating_sub(ahead)))
    }

    fn most_ahead(&self) -> usize {
        if self.budget.is_short() {
            READ_AHEAD
        } else {
            self.most_ahead.load(Ordering::Relaxed)
        }
    }

    /// Waits until something that has nothing yet may be read ahead.
    pub(crate) async fn any_room_ahead(&self) {
        loop {
            let less = self.less_ahead.notified();
            self.is_starved.store(true, Ordering::SeqCst);
            if self.room_ahead(0) > 0 {
                return;
            }
            less.await;
        }
    }

    /// Whether the process holds nearly all that it may.
    pub(crate) fn is_short(&self) -> bool {
        self.budget.is_short()
    }

    /// The connection has ended: nobody can fill its window any more.
    pub(crate) fn end(&self) {
        let mut receive = self.receive.lock();
        receive.share.shrink_to(0);
        receive.has_ended = true;
    }

    /// `bytes` were read from the network; the receive window follows what the owner takes.
    pub(crate) fn arrived(&self, connection: &Connection, bytes: usize) {
        let mut receive = self.receive.lock();
        let Receive {
            window,
            share,
            has_ended,
        } = &mut *receive;
        window.read(bytes as u64);
        window.taken(self.taken.swap(0, Ordering::Relaxed));
        share.shrink_to(size(window.granted()));
        if *has_ended || !window.is_due() {
            return;
        }
        let now = Instant::now();
        let Some(wanted) = window.next(now, connection.rtt(), self.budget.is_short()) else {
            return;
        };
        let more = size(wanted.saturating_sub(window.size()));
        if more > 0 && !share.grow(more) {
            return;
        }
        window.set(wanted, now);
        self.most_ahead
            .store(READ_AHEAD.max(size(wanted) / 8), Ordering::Relaxed);
        connection.set_receive_window(VarInt::from_u64(wanted).unwrap_or(VarInt::MAX));
    }

    /// The owner took `bytes` that were not counted as read ahead.
    pub(crate) fn took(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether the owner should write no more for now.
    pub(crate) fn is_sending_much(&self) -> bool {
        self.written.held() > self.most_outgoing()
    }

    /// Waits until so little is held that a further stream or request may come. What the owner sends by itself
    /// doesn't count: two nodes that both wait for the other to read would wait for ever.
    pub(crate) async fn room_for_another(&self) {
        self.answers.at_most(self.most_outgoing()).await;
        if self.room_ahead(0) == 0 {
            self.any_room_ahead().await;
        }
    }

    fn most_outgoing(&self) -> usize {
        2 * self.send_window.load(Ordering::Relaxed)
    }

    /// Lets more be under way at once when the peer acknowledges fast.
    pub(crate) fn sent(&self, connection: &Connection) {
        let acknowledged = self.answers.released() + self.written.released();
        if acknowledged < self.send_window_due.load(Ordering::Relaxed) {
            return;
        }
        let size_now = self.send_window.load(Ordering::Relaxed);
        let next = if self.budget.is_short() {
            (size_now / 2).max(FIRST_SEND_WINDOW)
        } else {
            // What congestion control lets be under way, and as much again ready behind it.
            let useful = size(connection.stats().path.cwnd.saturating_mul(2));
            useful.clamp(size_now, (2 * size_now).min(SEND_WINDOW))
        };
        self.send_window_due
            .store(acknowledged + next as u64, Ordering::Relaxed);
        if next != size_now {
            self.send_window.store(next, Ordering::Relaxed);
            connection.set_send_window(next as u64);
        }
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Bytes that were read ahead of the owner, of one stream or one request. Given back when dropped.
pub(crate) struct Ahead {
    account: Arc<Account>,
    share: Share,
}

impl Ahead {
    pub(crate) fn new(account: Arc<Account>, kind: Kind) -> Self {
        let share = Share::empty(account.budget, kind);
        Self { account, share }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.share.bytes()
    }

    /// Counts `bytes` that are there already.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.share.count(bytes);
        self.account.ahead.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts `bytes`; false when the process may not hold them.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let grown = self.share.grow(bytes);
        if grown {
            self.account.ahead.fetch_add(bytes, Ordering::Relaxed);
        }
        grown
    }

    /// The owner took `bytes`.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.share.shrink_to(self.share.bytes() - bytes);
        self.account.ahead.fetch_sub(bytes, Ordering::SeqCst);
        self.account.took(bytes);
        if bytes > 0 && self.account.is_starved.swap(false, Ordering::SeqCst) {
            self.account.less_ahead.notify_waiters();
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.take(self.share.bytes());
    }
}
