//! How many handshakes one address may begin: a token bucket for each IPv4 address and each IPv6 /64.
//!
//! Whoever forges a source address could use up the tokens of somebody else. So an address has two buckets: one
//! for attempts that have not proved where they come from, and one for those that have. When the first is empty,
//! an attempt has to prove its address by a Retry; when the second is empty too, it is refused.

use std::{collections::HashMap, net::IpAddr, time::Instant};

use crate::limits::Path;

/// Addresses that are remembered, at least; twice as many at most. One takes about 60 bytes.
const REMEMBERED: usize = 8192;
/// A whole handshake in a bucket.
const ONE: u64 = 1_000_000_000;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// Handshakes each second.
    pub per_second: u32,
    /// Handshakes at once after a pause.
    pub burst: u32,
}

/// The rate of one address of each kind of network; `None` is no limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AddressRates {
    /// This machine: a whole network of nodes may live on it.
    pub loopback: Option<Rate>,
    /// Networks of the operator's: RFC 1918, unique local and link-local addresses.
    pub private: Option<Rate>,
    /// Anywhere else.
    pub public: Option<Rate>,
}

impl Default for AddressRates {
    /// Public: 20 a second, 200 at once, which is a few percent of a core at most; private: ten times that.
    fn default() -> Self {
        Self {
            loopback: None,
            private: Some(Rate {
                per_second: 200,
                burst: 2000,
            }),
            public: Some(Rate {
                per_second: 20,
                burst: 200,
            }),
        }
    }
}

/// Remembers who began how many.
pub(crate) struct AddressRate {
    rates: AddressRates,
    /// Those that came lately; bounded by `REMEMBERED`. When it is full it becomes `before`, and what was not seen
    /// since then is forgotten: its bucket would be full again by and by anyway.
    lately: HashMap<Key, Bucket>,
    /// As above.
    before: HashMap<Key, Bucket>,
}

/// An address, or the first half of one of IPv6, and whether it was proved.
type Key = (u128, bool);

#[derive(Clone, Copy)]
struct Bucket {
    /// Billionths of a handshake.
    left: u64,
    at: Instant,
}

impl AddressRate {
    pub(crate) fn new(rates: AddressRates) -> Self {
        Self {
            rates,
            lately: HashMap::new(),
            before: HashMap::new(),
        }
    }

    /// Whether one more handshake may begin; `proved` when its address is known to be no forgery.
    pub(crate) fn allows(&mut self, address: IpAddr, proved: bool, now: Instant) -> bool {
        let rate = match Path::to(address) {
            Path::Loopback => self.rates.loopback,
            Path::Private => self.rates.private,
            Path::Public => self.rates.public,
        };
        let Some(rate) = rate else { return true };
        let key = (network(address), proved);
        let full = u64::from(rate.burst) * ONE;
        let known = self.lately.get(&key).or_else(|| self.before.get(&key));
        let mut bucket = known.map_or(Bucket { left: full, at: now }, |bucket| Bucket {
            left: full.min(bucket.left.saturating_add(gained(rate, now, bucket.at))),
            at: now.max(bucket.at),
        });
        let allowed = bucket.left >= ONE;
        if allowed {
            bucket.left -= ONE;
        }
        self.remember(key, bucket);
        allowed
    }

    fn remember(&mut self, key: Key, bucket: Bucket) {
        if self.lately.len() >= REMEMBERED && !self.lately.contains_key(&key) {
            self.before = std::mem::take(&mut self.lately);
        }
        self.lately.insert(key, bucket);
    }
}

/// Billionths of a handshake: as many each nanosecond as handshakes each second.
fn gained(rate: Rate, now: Instant, since: Instant) -> u64 {
    let passed = now.saturating_duration_since(since).as_nanos();
    u64::try_from(passed)
        .unwrap_or(u64::MAX)
        .saturating_mul(u64::from(rate.per_second))
}

fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv6Addr, time::Duration};

    use super::*;

    const SLOW: Rate = Rate {
        per_second: 2,
        burst: 3,
    };

    fn door() -> AddressRate {
        AddressRate::new(AddressRates {
            loopback: None,
            private: Some(Rate {
                per_second: 20,
                burst: 30,
            }),
            public: Some(SLOW),
        })
    }

    fn count(door: &mut AddressRate, address: &str, proved: bool, now: Instant) -> usize {
        let address = address.parse().unwrap();
        (0..100).filter(|_| door.allows(address, proved, now)).count()
    }

    #[test]
    fn an_address_may_begin_its_burst_and_not_one_more() {
        let (mut door, now) = (door(), Instant::now());
        assert_eq!(count(&mut door, "192.0.2.1", true, now), 3);
        // Half a second gives one more; a moment less does not.
        let almost = now + Duration::from_millis(499);
        assert_eq!(count(&mut door, "192.0.2.1", true, almost), 0);
        assert_eq!(
            count(&mut door, "192.0.2.1", true, now + Duration::from_millis(999)),
            1
        );
        // A bucket holds its burst, however long the pause was.
        assert_eq!(
            count(&mut door, "192.0.2.1", true, now + Duration::from_hours(1)),
            3
        );
    }

    #[test]
    fn a_forger_cannot_use_up_what_an_address_that_proved_itself_has() {
        let (mut door, now) = (door(), Instant::now());
        assert_eq!(count(&mut door, "192.0.2.1", false, now), 3);
        assert_eq!(count(&mut door, "192.0.2.1", true, now), 3);
    }

    #[test]
    fn one_ipv6_network_of_64_bits_is_one_address() {
        let (mut door, now) = (door(), Instant::now());
        assert_eq!(count(&mut door, "2001:db8:0:1::1", true, now), 3);
        assert_eq!(count(&mut door, "2001:db8:0:1:ffff::2", true, now), 0);
        assert_eq!(count(&mut door, "2001:db8:0:2::1", true, now), 3);
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_its_mapped_form_and_no_other_is() {
        let (mut door, now) = (door(), Instant::now());
        assert_eq!(count(&mut door, "::ffff:192.0.2.1", true, now), 3);
        assert_eq!(count(&mut door, "192.0.2.1", true, now), 0);
        assert_eq!(count(&mut door, "192.0.2.2", true, now), 3);
    }

    #[test]
    fn networks_of_the_operators_may_more_and_the_machine_itself_anything() {
        let (mut door, now) = (door(), Instant::now());
        assert_eq!(count(&mut door, "10.0.0.1", true, now), 30);
        assert_eq!(count(&mut door, "127.0.0.1", true, now), 100);
        assert_eq!(count(&mut door, "::1", true, now), 100);
    }

    #[test]
    fn a_flood_of_addresses_is_forgotten_but_not_who_comes_again_and_again() {
        let (mut door, now) = (door(), Instant::now());
        let often = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            assert!(door.allows(often, true, now));
        }
        for number in 0..4 * REMEMBERED as u128 {
            let address = Ipv6Addr::from_bits((0x2600 << 112) | (number << 64));
            assert!(door.allows(address.into(), true, now));
            assert!(number % 1000 != 0 || !door.allows(often, true, now));
            assert!(door.lately.len() <= REMEMBERED && door.before.len() <= REMEMBERED);
        }
        assert!(!door.allows(often, true, now));
    }

    #[test]
    fn time_that_goes_back_gives_nothing() {
        let (mut door, before) = (door(), Instant::now());
        let now = before + Duration::from_secs(10);
        assert_eq!(count(&mut door, "192.0.2.1", true, now), 3);
        assert_eq!(count(&mut door, "192.0.2.1", true, before), 0);
        assert_eq!(count(&mut door, "192.0.2.1", true, now), 0);
    }
}
