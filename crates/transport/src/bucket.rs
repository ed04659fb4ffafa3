//! A token bucket: so many at once after a pause, and so many each second.

use std::time::Instant;

/// A whole token.
const ONE: u64 = 1_000_000_000;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// Each second.
    pub per_second: u32,
    /// At once after a pause.
    pub burst: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Billionths of a token.
    left: u64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            left: u64::from(rate.burst) * ONE,
            at: now,
        }
    }

    /// Takes one token when there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let full = u64::from(rate.burst) * ONE;
        self.left = full.min(self.left.saturating_add(gained(rate, now, self.at)));
        self.at = now.max(self.at);
        let is_there = self.left >= ONE;
        if is_there {
            self.left -= ONE;
        }
        is_there
    }
}

/// Billionths of a token: as many each nanosecond as tokens each second.
fn gained(rate: Rate, now: Instant, since: Instant) -> u64 {
    let passed = now.saturating_duration_since(since).as_nanos();
    u64::try_from(passed)
        .unwrap_or(u64::MAX)
        .saturating_mul(u64::from(rate.per_second))
}
