//! Bytes that know when nobody holds them any more. quinn keeps what is sent until the peer has acknowledged it, and
//! the owner keeps events until it takes them: only the end of the bytes themselves tells when they are gone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::budget::{Budget, Kind, Share};

/// Bytes of one kind that are held for one connection.
#[derive(Debug)]
pub(crate) struct Tally {
    budget: &'static Budget,
    kind: Kind,
    held: AtomicUsize,
    released: AtomicU64,
    is_awaited: AtomicBool,
    less: Notify,
}

impl Tally {
    pub(crate) fn new(budget: &'static Budget, kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            budget,
            kind,
            held: AtomicUsize::new(0),
            released: AtomicU64::new(0),
            is_awaited: AtomicBool::new(false),
            less: Notify::new(),
        })
    }

    /// What is held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// What was held and is gone, since the start.
    pub(crate) fn released(&self) -> u64 {
        self.released.load(Ordering::Relaxed)
    }

    /// Waits until at most `most` is held.
    pub(crate) async fn at_most(&self, most: usize) {
        while self.held() > most {
            self.is_awaited.store(true, Ordering::SeqCst);
            if self.held() <= most {
                return;
            }
            self.less.notified().await;
        }
    }

    /// Counts `bytes` until the last copy of what it answers is dropped. `overhead` is what it costs beyond its
    /// length. Nothing when the budget has no room.
    pub(crate) fn hold(self: &Arc<Self>, bytes: Bytes, overhead: usize) -> Option<Bytes> {
        let mut share = Share::empty(self.budget, self.kind);
        share
            .grow(bytes.len() + overhead)
            .then(|| self.wrap(bytes, share))
    }

    /// As [`Self::hold`], for what is there already, whatever the budget says.
    pub(crate) fn count(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let mut share = Share::empty(self.budget, self.kind);
        share.count(bytes.len());
        self.wrap(bytes, share)
    }

    fn wrap(self: &Arc<Self>, bytes: Bytes, share: Share) -> Bytes {
        self.held.fetch_add(share.bytes(), Ordering::Relaxed);
        Bytes::from_owner(Counted {
            bytes,
            share,
            tally: self.clone(),
        })
    }
}

struct Counted {
    bytes: Bytes,
    share: Share,
    tally: Arc<Tally>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    /// May run under quinn's lock of the connection: it must not call into the connection.
    fn drop(&mut self) {
        let bytes = self.share.bytes();
        self.tally.held.fetch_sub(bytes, Ordering::SeqCst);
        self.tally.released.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.tally.is_awaited.swap(false, Ordering::SeqCst) {
            self.tally.less.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(limit: u64) -> Arc<Tally> {
        Tally::new(Box::leak(Box::new(Budget::new(limit))), Kind::Answers)
    }

    #[test]
    fn bytes_are_counted_until_their_last_copy_is_gone() {
        let tally = tally(1000);
        let mut bytes = tally.count(Bytes::from(vec![7; 100]));
        let front = bytes.split_to(10);
        assert_eq!((tally.held(), tally.released()), (100, 0));
        drop(bytes);
        assert_eq!((tally.held(), tally.released()), (100, 0));
        assert_eq!(&front[..], [7; 10]);
        drop(front);
        assert_eq!((tally.held(), tally.released()), (0, 100));
    }

    #[test]
    fn the_budget_decides_about_what_may_be_refused_and_only_counts_what_is_there() {
        let tally = tally(100);
        let held = tally.hold(Bytes::from(vec![0; 60]), 40).unwrap();
        assert!(tally.hold(Bytes::from(vec![0; 1]), 0).is_none());
        let there = tally.count(Bytes::from(vec![0; 50]));
        assert_eq!(tally.held(), 150);
        drop((held, there));
        assert!(tally.hold(Bytes::from(vec![0; 100]), 0).is_some());
    }

    #[tokio::test]
    async fn whoever_waits_for_less_is_woken() {
        let tally = tally(1000);
        let (first, second) = (tally.count(vec![0; 100].into()), tally.count(vec![0; 100].into()));
        let waiting = tokio::spawn({
            let tally = tally.clone();
            async move { tally.at_most(100).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
        drop(second);
    }
}
