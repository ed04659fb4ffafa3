//! The bytes that peers make this process hold, over all its endpoints and threads, and how many they may.
//!
//! What a peer can do no harm with is not counted: the window that every connection starts with
//! ([`crate::limits::FIRST_WINDOW`]) and the state of connections and streams. Everything above is taken from one
//! budget. When it is short, windows stay small and further requests are refused; nothing waits for memory.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the budget is unless [`set`] is called: 512 MiB.
pub const DEFAULT_BYTES: u64 = 512 << 20;

/// The least that [`set`] should be given: 16 MiB. Below it a few connections leave nothing for the others.
pub const LEAST_BYTES: u64 = 16 << 20;

/// What bytes are held for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Receive windows that connections were granted beyond their first: a peer may fill them at any time.
    Receive,
    /// Bytes of streams that wait to be read by the owner.
    ReadAhead,
    /// Bodies of requests, whole or in part, until they are answered.
    Requests,
    /// Answers, and what the owner wrote to streams, until the peer has acknowledged them.
    Answers,
    /// Datagrams that wait for the owner.
    Datagrams,
}

impl Kind {
    /// Every kind with its label, in the order of [`Kind`].
    pub const LABELS: [&'static str; 5] = ["receive", "read_ahead", "requests", "answers", "datagrams"];
}

static BUDGET: Budget = Budget::new(DEFAULT_BYTES);

/// Sets how many bytes peers may make this process hold. Less than is held takes nothing away: it only stops
/// growth until enough was given back.
pub fn set(bytes: u64) {
    BUDGET.limit.store(bytes, Ordering::Relaxed);
}

/// How many bytes peers may make this process hold.
pub fn limit() -> u64 {
    BUDGET.limit.load(Ordering::Relaxed)
}

/// What is held now.
pub fn held() -> Held {
    BUDGET.held()
}

/// Bytes of each kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// See [`Kind::Receive`].
    pub receive: u64,
    /// See [`Kind::ReadAhead`].
    pub read_ahead: u64,
    /// See [`Kind::Requests`].
    pub requests: u64,
    /// See [`Kind::Answers`].
    pub answers: u64,
    /// See [`Kind::Datagrams`].
    pub datagrams: u64,
}

impl Held {
    /// All kinds together.
    pub fn total(&self) -> u64 {
        self.receive + self.read_ahead + self.requests + self.answers + self.datagrams
    }
}

/// See the module; there is one, and those of tests.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: AtomicU64,
    total: AtomicU64,
    kinds: [AtomicU64; Kind::LABELS.len()],
}

impl Budget {
    pub(crate) const fn new(limit: u64) -> Self {
        Self {
            limit: AtomicU64::new(limit),
            total: AtomicU64::new(0),
            kinds: [const { AtomicU64::new(0) }; Kind::LABELS.len()],
        }
    }

    /// The one of the process.
    pub(crate) fn of_process() -> &'static Self {
        &BUDGET
    }

    fn held(&self) -> Held {
        let kind = |kind: Kind| self.kinds[kind as usize].load(Ordering::Relaxed);
        Held {
            receive: kind(Kind::Receive),
            read_ahead: kind(Kind::ReadAhead),
            requests: kind(Kind::Requests),
            answers: kind(Kind::Answers),
            datagrams: kind(Kind::Datagrams),
        }
    }

    /// What is left.
    pub(crate) fn free(&self) -> u64 {
        let total = self.total.load(Ordering::Relaxed);
        self.limit.load(Ordering::Relaxed).saturating_sub(total)
    }

    /// Takes `bytes` when they are there.
    fn take(&self, kind: Kind, bytes: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let room = |total: u64| total.checked_add(bytes).filter(|sum| *sum <= limit);
        let taken = self
            .total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok();
        if taken {
            self.kinds[kind as usize].fetch_add(bytes, Ordering::Relaxed);
        }
        taken
    }

    /// Counts `bytes` that are held already, whatever the limit.
    fn count(&self, kind: Kind, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.kinds[kind as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, kind: Kind, bytes: u64) {
        self.total.fetch_sub(bytes, Ordering::Relaxed);
        self.kinds[kind as usize].fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: &'static Budget,
    kind: Kind,
    bytes: usize,
}

impl Share {
    /// Nothing yet.
    pub(crate) fn empty(budget: &'static Budget, kind: Kind) -> Self {
        Self {
            budget,
            kind,
            bytes: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes `bytes` more; false, and nothing is taken, when the budget has not so many.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let taken = self.budget.take(self.kind, bytes as u64);
        if taken {
            self.bytes += bytes;
        }
        taken
    }

    /// Counts `bytes` more that are held already.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.budget.count(self.kind, bytes as u64);
        self.bytes += bytes;
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.budget.give_back(self.kind, surplus as u64);
        self.bytes -= surplus;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit: u64) -> &'static Budget {
        Box::leak(Box::new(Budget::new(limit)))
    }

    #[test]
    fn the_last_byte_is_given_and_one_more_is_not() {
        let budget = budget(100);
        let mut receive = Share::empty(budget, Kind::Receive);
        let mut requests = Share::empty(budget, Kind::Requests);
        assert!(receive.grow(60));
        assert!(!requests.grow(41));
        assert!(requests.grow(40));
        assert!(!receive.grow(1));

        assert_eq!((budget.held().receive, budget.held().requests), (60, 40));
        assert_eq!(budget.held().total(), 100);
        drop(receive);
        assert!(requests.grow(60));
    }

    #[test]
    fn what_is_held_already_is_counted_above_the_limit() {
        let budget = budget(100);
        let mut answers = Share::empty(budget, Kind::Answers);
        answers.count(150);
        let mut receive = Share::empty(budget, Kind::Receive);
        assert!(!receive.grow(1));
        answers.shrink_to(99);
        assert!(receive.grow(1));
        assert_eq!((answers.bytes(), budget.held().total()), (99, 100));
    }

    #[test]
    fn a_sum_beyond_all_numbers_is_refused() {
        let mut share = Share::empty(budget(u64::MAX), Kind::Datagrams);
        assert!(share.grow(usize::MAX));
        assert!(!share.grow(1));
    }

    #[test]
    fn threads_never_take_more_than_there_is_and_give_all_back() {
        let budget = budget(1000);
        std::thread::scope(|scope| {
            for seed in 1..=4_u64 {
                scope.spawn(move || {
                    let mut number = seed;
                    for _ in 0..20_000 {
                        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let mut share = Share::empty(budget, Kind::Answers);
                        share.grow((number >> 33) as usize % 700);
                        assert!(budget.total.load(Ordering::Relaxed) <= 1000);
                        share.shrink_to((number >> 40) as usize % 500);
                    }
                });
            }
        });
        assert_eq!(
            (budget.held(), budget.total.load(Ordering::Relaxed)),
            (Held::default(), 0)
        );
    }
}
