//! How many packets that begin a handshake go on to quinn, which spends 10 to 30 µs on each: a flood of forged ones
//! costs a look into a table. Only who is no stranger yet is held up by strangers: connections that exist use
//! short headers, and addresses that proved themselves have a bucket that no stranger takes from.
//!
//! A flood has a new address in every packet, or it is no forgery. An honest client that was not heard repeats
//! its first packets. So those that came before, some time ago, have a bucket of their own: a forger would have to
//! send everything twice, and wait in between.

use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    bucket::{Bucket, Rate},
    recent::Recent,
};

/// First packets of strangers.
const FRESH: Rate = Rate {
    per_second: 1000,
    burst: 2000,
};
/// The same, when they came before.
const REPEATED: Rate = Rate {
    per_second: 1000,
    burst: 1000,
};
/// Packets that begin a handshake, of addresses that proved themselves and were not dialled.
const PROVED: Rate = Rate {
    per_second: 8000,
    burst: 8000,
};
/// Packets of a handshake that has begun: they name a connection id that was sent to their address.
const ANSWERS: Rate = Rate {
    per_second: 8000,
    burst: 8000,
};
/// What one address may take of `PROVED`.
pub(crate) const ONE_ADDRESS: Rate = Rate {
    per_second: 4000,
    burst: 4000,
};
/// What one address may send as a stranger: a node that dials is one client behind one address.
pub(crate) const ONE_STRANGER: Rate = Rate {
    per_second: 250,
    burst: 1000,
};
/// Sooner a packet is no repetition: a hello of two packets is not, nor one that the network doubled. quinn repeats
/// after 300 ms, 900 ms, 2.1 s.
const REPEATED_AFTER: Duration = Duration::from_millis(200);
/// Attempts that are remembered, at least; twice as many at most, in 3.3 MB. 50,000 a second fill it in a second.
const REMEMBERED: usize = 57_344;
/// How long, at least.
const REMEMBERED_TIME: Duration = Duration::from_secs(5);

pub(crate) struct Flood {
    fresh: Bucket,
    repeated: Bucket,
    proved: Bucket,
    answers: Bucket,
    /// When an attempt, which is an address and the id that it made up for this node, was first seen.
    seen: Recent<u64, Instant>,
    /// Nobody outside can choose two attempts that are one here.
    hasher: RandomState,
}

impl Flood {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            fresh: Bucket::full(FRESH, now),
            repeated: Bucket::full(REPEATED, now),
            proved: Bucket::full(PROVED, now),
            answers: Bucket::full(ANSWERS, now),
            seen: Recent::new(REMEMBERED, REMEMBERED_TIME),
            hasher: RandomState::new(),
        }
    }

    /// Whether a packet that begins a handshake may pass, of an address that nothing is known of.
    pub(crate) fn admits_stranger(&mut self, address: SocketAddr, made_up: &[u8], now: Instant) -> bool {
        let attempt = self.hasher.hash_one((address, made_up));
        let first = *self.seen.get_or(attempt, now, || now);
        if now.saturating_duration_since(first) >= REPEATED_AFTER && self.repeated.take(REPEATED, now) {
            return true;
        }
        self.fresh.take(FRESH, now)
    }

    /// As above, of an address that proved itself.
    pub(crate) fn admits_proved(&mut self, now: Instant) -> bool {
        self.proved.take(PROVED, now)
    }

    /// Whether a packet of a handshake that has begun may pass.
    pub(crate) fn admits_answer(&mut self, now: Instant) -> bool {
        self.answers.take(ANSWERS, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn strangers_pass_in_a_burst_and_then_at_their_rate_and_not_one_more() {
        let begin = Instant::now();
        let mut flood = Flood::new(begin);
        let mut source = 0;
        let mut count = |now| {
            (0..5000)
                .filter(|_| {
                    source += 1;
                    flood.admits_stranger(address(source), b"made up", now)
                })
                .count()
        };
        assert_eq!(count(begin), 2000);
        assert_eq!(count(begin), 0);
        assert_eq!(count(begin + SECOND / 2), 500);
        assert_eq!(count(begin + SECOND / 2), 0);
        assert_eq!(count(begin + 60 * SECOND), 2000);
    }

    #[test]
    fn a_client_that_repeats_itself_gets_through_a_flood_of_fifty_thousand_a_second() {
        let begin = Instant::now();
        let mut flood = Flood::new(begin);
        let mut heard = [0; 4];
        let mut source = 0;
        // 20 µs apart; the client comes in the second second, when the bursts are used up.
        for step in 0..200_000_u32 {
            let now = begin + step * Duration::from_micros(20);
            source += 1;
            flood.admits_stranger(address(source), b"made up", now);
            let at = [50_000, 65_000, 95_000, 155_000]
                .iter()
                .position(|at| *at == step);
            if let Some(at) = at {
                heard[at] += u32::from(flood.admits_stranger(address(0), b"honest", now));
            }
        }
        println!("heard: {heard:?}");
        assert_eq!(heard[1..], [1, 1, 1]);
        assert!(flood.seen.len() <= 2 * REMEMBERED);
    }

    #[test]
    fn the_second_packet_of_a_hello_is_no_repetition_and_another_attempt_is_neither() {
        let begin = Instant::now();
        let mut flood = Flood::new(begin);
        while flood.admits_stranger(address(1), b"made up", begin) {}
        let later = begin + REPEATED_AFTER;
        // What the strangers' rate gives meanwhile.
        while flood.admits_stranger(address(2), b"made up", later) {}
        assert!(!flood.admits_stranger(address(2), b"made up", later));
        assert!(!flood.admits_stranger(address(1), b"another", later));
        let repeated = (0..5000)
            .filter(|_| flood.admits_stranger(address(1), b"made up", later))
            .count();
        assert_eq!(repeated, 1000);
    }

    #[test]
    fn who_is_known_passes_whatever_strangers_do_and_at_a_rate_too() {
        let begin = Instant::now();
        let mut flood = Flood::new(begin);
        while flood.admits_stranger(address(1), b"made up", begin) {}
        let proved = (0..20_000).filter(|_| flood.admits_proved(begin)).count();
        let answers = (0..20_000).filter(|_| flood.admits_answer(begin)).count();
        assert_eq!((proved, answers), (8000, 8000));
        let answers = (0..20_000).filter(|_| flood.admits_answer(begin + SECOND / 8));
        assert_eq!(answers.count(), 1000);
    }

    fn address(number: u32) -> SocketAddr {
        SocketAddr::new(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into(), 4433)
    }
}
