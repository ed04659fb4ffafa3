//! A map of bounded size that forgets what was not asked for lately. It has two generations: when the younger is
//! full, or has lasted its time, it becomes the older one, and what the older one still had is gone.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

pub(crate) struct Recent<K, V> {
    /// Bounded by `most`.
    lately: HashMap<K, V>,
    /// As above; no key is in both.
    before: HashMap<K, V>,
    most: usize,
    time: Duration,
    since: Option<Instant>,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// Remembers at least the last `most` keys, and twice as many at most, of those that were asked for within
    /// `time`, and none that was not within twice that.
    pub(crate) fn new(most: usize, time: Duration) -> Self {
        Self {
            lately: HashMap::new(),
            before: HashMap::new(),
            most,
            time,
            since: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lately.len() + self.before.len()
    }

    /// What is known of `key`, which is remembered for longer now.
    pub(crate) fn get(&mut self, key: K, now: Instant) -> Option<&mut V> {
        self.turn(now);
        if let Some(value) = self.before.remove(&key) {
            self.lately.insert(key, value);
        }
        self.lately.get_mut(&key)
    }

    /// As [`Self::get`]; what is not known is made.
    pub(crate) fn get_or(&mut self, key: K, now: Instant, make: impl FnOnce() -> V) -> &mut V {
        self.turn(now);
        let before = &mut self.before;
        self.lately
            .entry(key)
            .or_insert_with(|| before.remove(&key).unwrap_or_else(make))
    }

    /// As [`Self::get`], but this does not count as asking.
    pub(crate) fn peek(&mut self, key: K) -> Option<&mut V> {
        let lately = self.lately.get_mut(&key);
        lately.or_else(|| self.before.get_mut(&key))
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let lately = self.lately.remove(&key);
        lately.or_else(|| self.before.remove(&key))
    }

    fn turn(&mut self, now: Instant) {
        let is_old = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) > self.time);
        if is_old || self.lately.len() >= self.most {
            self.before = std::mem::take(&mut self.lately);
            self.since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(5);

    #[test]
    fn as_many_as_promised_are_known_and_never_more_than_twice_as_many() {
        let (mut recent, now) = (Recent::new(10, TIME), Instant::now());
        for key in 0..1000 {
            recent.get_or(key, now, || key);
            assert!(recent.len() <= 20);
            for known in (key - 9).max(0)..=key {
                assert_eq!(recent.peek(known), Some(&mut { known }));
            }
        }
    }

    #[test]
    fn who_is_asked_for_stays_and_who_is_only_looked_at_does_not() {
        let (mut recent, now) = (Recent::new(10, TIME), Instant::now());
        for key in [-1, -2] {
            recent.get_or(key, now, || key);
        }
        for key in 0..1000 {
            recent.get_or(key, now, || key);
            assert!(recent.get(-1, now).is_some());
            recent.peek(-2);
        }
        assert!(recent.get(-2, now).is_none());
        assert_eq!(recent.remove(-1), Some(-1));
        assert!(recent.get(-1, now).is_none());
    }

    #[test]
    fn what_nobody_asks_for_is_gone_after_twice_the_time() {
        let (mut recent, now) = (Recent::new(10, TIME), Instant::now());
        let moment = Duration::from_millis(1);
        recent.get_or(1, now, || 1);
        assert!(recent.get(1, now + TIME + moment).is_some());
        assert!(recent.get(2, now + 2 * (TIME + moment)).is_none());
        assert!(recent.get(2, now + 3 * (TIME + moment)).is_none());
        assert_eq!(recent.len(), 0);
    }
}
