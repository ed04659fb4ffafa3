//! How many handshakes one address may begin: a token bucket for each IPv4 address and each IPv6 /64.
//!
//! Whoever forges a source address could use up the tokens of somebody else. So an address has two buckets: one
//! for attempts that have not proved where they come from, and one for those that have. When the first is empty,
//! an attempt has to prove its address by a Retry; when the second is empty too, it is refused.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    bucket::{Bucket, Rate},
    limits::Path,
    recent::Recent,
};

/// Addresses that are remembered, at least; twice as many at most. One takes about 60 bytes.
const REMEMBERED: usize = 8192;

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
    /// What is forgotten would be full again by and by anyway.
    buckets: Recent<Key, Bucket>,
}

/// An address, or the first half of one of IPv6, and whether it was proved.
type Key = (u128, bool);

impl AddressRate {
    pub(crate) fn new(rates: AddressRates) -> Self {
        Self {
            rates,
            buckets: Recent::new(REMEMBERED, Duration::MAX),
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
        let bucket = self.buckets.get_or(key, now, || Bucket::full(rate, now));
        bucket.take(rate, now)
    }
}

/// One host, as far as an address tells: of IPv6 it is the network of 64 bits.
pub(crate) fn network(address: IpAddr) -> u128 {
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
            assert!(door.buckets.len() <= 2 * REMEMBERED);
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
