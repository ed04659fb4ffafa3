//! What a wire does to each datagram: decided from a seed, so that a run's decisions come again.

use std::time::{Duration, Instant};

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// One direction of a wire. Shares are of a thousand datagrams.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// How long each datagram takes.
    pub delay: Duration,
    /// Added to that, between nothing and this much; the order stays.
    pub jitter: Duration,
    pub lost_permille: u64,
    pub duplicated_permille: u64,
    /// Held back by `HELD_BACK`, so that later ones overtake.
    pub reordered_permille: u64,
    /// Up to three bits anywhere are flipped.
    pub corrupted_permille: u64,
    pub rate: Option<Rate>,
    /// Larger ones are lost, as on a path with a smaller MTU.
    pub largest_bytes: usize,
    /// Nothing passes.
    pub is_silent: bool,
    /// Only so many datagrams of each client pass.
    pub passes_at_most: u64,
    pub outages: Option<Outages>,
}

/// A bottleneck that all clients share.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub bits_per_second: u64,
    /// What finds the queue fuller than this is lost.
    pub queue_bytes: u64,
}

/// Passes for `on`, then loses everything for `off`, and again.
#[derive(Clone, Copy, Debug)]
pub struct Outages {
    pub since: Instant,
    pub on: Duration,
    pub off: Duration,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            lost_permille: 0,
            duplicated_permille: 0,
            reordered_permille: 0,
            corrupted_permille: 0,
            rate: None,
            largest_bytes: usize::MAX,
            is_silent: false,
            passes_at_most: u64::MAX,
            outages: None,
        }
    }
}

impl Conditions {
    /// A wire that takes `milliseconds` in each direction and does nothing else.
    pub fn delay(milliseconds: u64) -> Self {
        Self {
            delay: Duration::from_millis(milliseconds),
            ..Self::default()
        }
    }
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    Delivered,
    Duplicated,
    Reordered,
    Corrupted,
    Lost,
    /// The bottleneck's queue was full.
    Overflowed,
    /// By silence, an outage or a size.
    Silenced,
}

impl Fate {
    pub fn arrives(self) -> bool {
        !matches!(self, Self::Lost | Self::Overflowed | Self::Silenced)
    }
}

/// How much a datagram that is reordered comes later.
const HELD_BACK: Duration = Duration::from_millis(15);

/// The state of one direction.
pub struct Wire {
    pub conditions: Conditions,
    seed: u64,
    /// When the bottleneck has sent everything that it was given.
    free_at: Instant,
    /// The last datagram is there then; one after it is not earlier.
    last_due: Instant,
}

impl Wire {
    pub fn new(conditions: Conditions, seed: u64, direction: Direction) -> Self {
        let now = Instant::now();
        Self {
            conditions,
            seed: mix(seed ^ (direction as u64 + 1)),
            free_at: now,
            last_due: now,
        }
    }

    /// Decides about datagram number `index` of `client`, which may be changed; tells when it is there.
    pub fn judge(&mut self, now: Instant, client: usize, index: u64, datagram: &mut [u8]) -> (Fate, Instant) {
        let conditions = &self.conditions;
        let roll = |question: u64| mix(self.seed ^ mix(client as u64) ^ mix(index << 8 | question));
        let happens = |question: u64, permille: u64| roll(question) % 1000 < permille;
        let is_out = conditions.outages.is_some_and(|outages| {
            let whole = (outages.on + outages.off).as_nanos();
            now.duration_since(outages.since).as_nanos() % whole >= outages.on.as_nanos()
        });
        if conditions.is_silent
            || is_out
            || index >= conditions.passes_at_most
            || datagram.len() > conditions.largest_bytes
        {
            return (Fate::Silenced, now);
        }
        if happens(0, conditions.lost_permille) {
            return (Fate::Lost, now);
        }
        let sent_at = match conditions.rate {
            None => now,
            Some(rate) => {
                let waiting = self.free_at.saturating_duration_since(now);
                if waiting > time_of(rate.queue_bytes, rate) {
                    return (Fate::Overflowed, now);
                }
                self.free_at = self.free_at.max(now) + time_of(datagram.len() as u64, rate);
                self.free_at
            }
        };
        let jitter_nanoseconds = u64::try_from(conditions.jitter.as_nanos()).unwrap();
        let jitter = Duration::from_nanos(roll(1) % (jitter_nanoseconds + 1));
        let due = (sent_at + conditions.delay + jitter).max(self.last_due);
        if happens(2, conditions.reordered_permille) {
            return (Fate::Reordered, due + HELD_BACK);
        }
        self.last_due = due;
        if happens(3, conditions.corrupted_permille) {
            for flip in 0..=roll(4) % 3 {
                let bit = usize::try_from(roll(5 + flip) % (8 * datagram.len() as u64)).unwrap();
                datagram[bit / 8] ^= 1 << (bit % 8);
            }
            return (Fate::Corrupted, due);
        }
        if happens(8, conditions.duplicated_permille) {
            return (Fate::Duplicated, due);
        }
        (Fate::Delivered, due)
    }
}

fn time_of(bytes: u64, rate: Rate) -> Duration {
    Duration::from_nanos(bytes * 8 * 1_000_000_000 / rate.bits_per_second)
}

/// The finisher of `splitmix64`: neighbouring inputs give unrelated outputs.
fn mix(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
