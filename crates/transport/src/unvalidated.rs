//! What goes to an address that has not shown that a client is there: at most three times what came from it
//! (RFC 9000 §8.1). quinn lets the datagram pass that oversteps the limit, and the post-quantum answer to a hello of
//! 2,400 bytes leaves less than a datagram below 7,200: a forged hello would make it repeat itself to somebody
//! else. So the socket counts too, and drops what is too much.
//!
//! A packet with a long header belongs to a handshake. One with a short header is counted when it goes to a
//! connection id that the unproved client gave itself: what goes to an established connection with the same
//! address must not be held up by somebody who forges hellos from there.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use parking_lot::Mutex;

use crate::limits::HANDSHAKE_TIME;

/// Set in packets with a long header (RFC 9000 §17.2).
const LONG_HEADER: u8 = 0x80;
/// RFC 9000 §8.1.
const FACTOR: usize = 3;
/// Addresses that are remembered, at least; twice as many at most.
const REMEMBERED: usize = 8192;
/// Connection ids of each side that are remembered for one address.
const REMEMBERED_IDS: usize = 16;
/// What every node calls itself. A shorter id could be the beginning of another connection's.
const ID_BYTES: usize = 8;

type Id = [u8; ID_BYTES];

#[derive(Default)]
pub(crate) struct Unvalidated {
    tables: Mutex<Tables>,
    /// As in the tables: most of the time there are none, and nobody need look.
    unknown: AtomicUsize,
}

#[derive(Default)]
struct Tables {
    /// Seen lately; bounded by `REMEMBERED`. When it is full, or older than a handshake may be, it becomes
    /// `before`, and what was not seen since is forgotten.
    lately: HashMap<SocketAddr, Address>,
    /// As above.
    before: HashMap<SocketAddr, Address>,
    since: Option<Instant>,
    /// How many of them are unknown.
    unknown: usize,
}

enum Address {
    /// It answered to what was sent there, or this node sent first.
    Valid,
    Unknown(Credit),
}

#[derive(Default)]
struct Credit {
    received: usize,
    sent: usize,
    /// What this node calls itself there; bounded by `REMEMBERED_IDS`. Who knows one gets what is sent there.
    ours: VecDeque<Id>,
    /// What clients there call themselves; bounded the same.
    theirs: VecDeque<Id>,
}

impl Unvalidated {
    /// This node is about to dial an address: what it sends there is its own wish.
    pub(crate) fn dials(&self, address: SocketAddr, now: Instant) {
        let mut tables = self.tables.lock();
        tables.validate(address, now);
        self.publish(&tables);
    }

    /// Whether [`Self::allowed`] has something to say about a batch.
    pub(crate) fn may_limit(&self, batch: &[u8]) -> bool {
        has_long_header(batch) || self.unknown.load(Ordering::Relaxed) > 0
    }

    fn publish(&self, tables: &Tables) {
        self.unknown.store(tables.unknown, Ordering::Relaxed);
    }

    /// Counts a datagram with a long header; false when it is none of a node's and is to be dropped.
    pub(crate) fn received(&self, address: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let mut tables = self.tables.lock();
        let known = tables.at(address, now);
        let Some(ids) = Ids::of(datagram) else {
            // A server of another version may repeat any id (RFC 9000 §6.1).
            let is_valid = matches!(known, Address::Valid);
            self.publish(&tables);
            return is_valid;
        };
        if let Address::Unknown(credit) = known {
            credit.received += datagram.len();
            remember(&mut credit.theirs, ids.source);
            // RFC 9000 §8.1: an id of at least 64 bits that this node chose.
            if credit.ours.iter().any(|id| id == ids.destination) {
                tables.validate(address, now);
            }
        }
        self.publish(&tables);
        true
    }

    /// How many bytes of a batch of datagrams, each of `segment` bytes but for the last, may go.
    pub(crate) fn allowed(&self, address: SocketAddr, batch: &[u8], segment: usize, now: Instant) -> usize {
        let mut tables = self.tables.lock();
        let allowed = tables.credit(address, batch, now).map_or(batch.len(), |credit| {
            let left = (FACTOR * credit.received).saturating_sub(credit.sent);
            if batch.len() <= left {
                batch.len()
            } else {
                left - left % segment
            }
        });
        self.publish(&tables);
        allowed
    }

    /// Counts what went.
    pub(crate) fn sent(&self, address: SocketAddr, batch: &[u8], now: Instant) {
        let mut tables = self.tables.lock();
        if let Some(credit) = tables.credit(address, batch, now) {
            credit.sent += batch.len();
            if let Some(ids) = Ids::of(batch) {
                remember(&mut credit.ours, ids.source);
            }
        }
    }
}

fn remember(ids: &mut VecDeque<Id>, id: Id) {
    if !ids.contains(&id) {
        ids.truncate(REMEMBERED_IDS - 1);
        ids.push_front(id);
    }
}

impl Tables {
    fn at(&mut self, address: SocketAddr, now: Instant) -> &mut Address {
        let is_old = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) > HANDSHAKE_TIME);
        if is_old || self.lately.len() >= REMEMBERED {
            let forgotten = std::mem::replace(&mut self.before, std::mem::take(&mut self.lately));
            let is_unknown = |address: &&Address| matches!(address, Address::Unknown(_));
            self.unknown -= forgotten.values().filter(is_unknown).count();
            self.since = Some(now);
        }
        match self.lately.entry(address) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(self.before.remove(&address).unwrap_or_else(|| {
                self.unknown += 1;
                Address::Unknown(Credit::default())
            })),
        }
    }

    fn validate(&mut self, address: SocketAddr, now: Instant) {
        let before = std::mem::replace(self.at(address, now), Address::Valid);
        self.unknown -= usize::from(matches!(before, Address::Unknown(_)));
    }

    /// The account that a batch of datagrams goes to; none when nothing limits it.
    fn credit(&mut self, address: SocketAddr, batch: &[u8], now: Instant) -> Option<&mut Credit> {
        let known = if has_long_header(batch) {
            self.at(address, now)
        } else {
            let lately = self.lately.get_mut(&address);
            lately.or_else(|| self.before.get_mut(&address))?
        };
        let Address::Unknown(credit) = known else {
            return None;
        };
        let is_short_to_them = || {
            batch
                .get(1..=ID_BYTES)
                .is_some_and(|to| credit.theirs.iter().any(|id| id == to))
        };
        (has_long_header(batch) || is_short_to_them()).then_some(credit)
    }
}

/// Whether this is a packet of a handshake.
pub(crate) fn has_long_header(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & LONG_HEADER != 0)
}

/// The connection ids of a packet with a long header.
struct Ids<'a> {
    /// Of any length in the first packet of a client, who makes it up.
    destination: &'a [u8],
    source: Id,
}

impl<'a> Ids<'a> {
    /// Nothing for a short header, or for what no node sends.
    fn of(datagram: &'a [u8]) -> Option<Self> {
        if !has_long_header(datagram) {
            return None;
        }
        let (_first_byte_and_version, rest) = datagram.split_first_chunk::<5>()?;
        let (length, rest) = rest.split_first()?;
        let (destination, rest) = rest.split_at_checked(usize::from(*length))?;
        let (length, rest) = rest.split_first()?;
        let (source, _) = rest.split_at_checked(usize::from(*length))?;
        let source = source.try_into().ok()?;
        Some(Self { destination, source })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SEGMENT: usize = 1200;

    #[test]
    fn an_address_gets_three_times_what_came_from_it_and_not_a_byte_more() {
        let (unvalidated, now) = (Unvalidated::default(), Instant::now());
        for _ in 0..2 {
            assert!(unvalidated.received(address(1), &long(b"made up by them", THEIRS, 1200), now));
        }
        let send = |bytes| send(&unvalidated, address(1), &long(THEIRS, OURS, bytes), now);
        assert_eq!(send(7 * SEGMENT), 6 * SEGMENT);
        assert_eq!(send(SEGMENT), 0);

        assert!(unvalidated.received(address(1), &long(b"made up by them", THEIRS, 100), now));
        assert_eq!(send(301), 0);
        assert_eq!(send(299), 299);
        assert_eq!(send(22), 0);
    }

    #[test]
    fn who_knows_the_id_that_was_sent_there_is_there() {
        let (unvalidated, now) = (Unvalidated::default(), Instant::now());
        let came = |from, to: &[u8]| assert!(unvalidated.received(from, &long(to, THEIRS, 50), now));
        let send = || send(&unvalidated, address(1), &long(THEIRS, OURS, 9000), now);
        came(address(1), b"a guess");
        assert_eq!(send(), 0);
        assert_eq!(
            self::send(&unvalidated, address(1), &long(THEIRS, OURS, 30), now),
            30
        );
        came(address(1), b"another!");
        assert_eq!(send(), 0);
        // Coming from elsewhere it says nothing about this address.
        came(address(2), OURS);
        assert_eq!(send(), 0);
        came(address(1), OURS);
        assert_eq!(send(), 9000);
    }

    #[test]
    fn short_headers_count_when_they_go_to_the_unproved_client_only() {
        let (unvalidated, now) = (Unvalidated::default(), Instant::now());
        assert!(unvalidated.received(address(1), &long(b"made up by them", THEIRS, 1200), now));
        let send = |to: &Id, bytes| send(&unvalidated, address(1), &short(*to, bytes), now);
        assert!(unvalidated.may_limit(&short(*THEIRS, 1200)));
        assert_eq!(send(b"another ", 9000), 9000);
        assert_eq!(send(THEIRS, 3600), 3600);
        assert_eq!(send(THEIRS, 30), 0);
        assert_eq!(send(b"another ", 9000), 9000);
    }

    #[test]
    fn whom_this_node_dials_is_not_limited() {
        let (unvalidated, now) = (Unvalidated::default(), Instant::now());
        unvalidated.dials(address(1), now);
        assert!(!unvalidated.may_limit(&short(*THEIRS, 1200)));
        let send = || send(&unvalidated, address(1), &long(b"made up by us", OURS, 2400), now);
        assert_eq!(send(), 2400);
        assert!(unvalidated.received(address(1), &long(OURS, THEIRS, 100), now));
        assert_eq!(send(), 2400);
    }

    #[test]
    fn what_is_not_seen_for_long_or_among_too_many_is_forgotten() {
        let (unvalidated, now) = (Unvalidated::default(), Instant::now());
        let remembered = || {
            let tables = unvalidated.tables.lock();
            let all = || tables.lately.values().chain(tables.before.values());
            let unknown = all()
                .filter(|address| matches!(address, Address::Unknown(_)))
                .count();
            assert_eq!(unvalidated.unknown.load(Ordering::Relaxed), unknown);
            all().count()
        };
        let came = |from, at| assert!(unvalidated.received(from, &long(b"", THEIRS, 1200), at));
        unvalidated.dials(address(1), now);
        for port in 0..40_000 {
            came(SocketAddr::new([10, 0, 0, 1].into(), port), now);
            // What is used stays.
            if port % 1000 == 0 {
                assert_eq!(send(&unvalidated, address(1), &long(THEIRS, OURS, 100), now), 100);
            }
            if port % 97 == 0 {
                assert!(remembered() <= 2 * REMEMBERED);
            }
        }
        for later in 1..3 {
            came(
                address(3),
                now + later * (HANDSHAKE_TIME + Duration::from_millis(1)),
            );
        }
        assert_eq!(remembered(), 1);
    }

    #[test]
    fn headers_that_are_cut_off_or_name_no_node_are_dropped() {
        let (unvalidated, now) = (Unvalidated::default(), Instant::now());
        let whole = long(b"12345678", b"abcdefgh", 30);
        for length in 1..whole.len() {
            let keeps = unvalidated.received(address(1), &whole[..length], now);
            assert_eq!(keeps, length >= 23, "{length}");
        }
        for source in [&b""[..], b"1234567", b"123456789"] {
            assert!(!unvalidated.received(address(1), &long(b"12345678", source, 1200), now));
        }
        assert!(!unvalidated.received(address(1), &[0xff; 100], now));
    }

    const OURS: &Id = b"our id 1";
    const THEIRS: &Id = b"their id";

    fn send(unvalidated: &Unvalidated, to: SocketAddr, batch: &[u8], now: Instant) -> usize {
        let allowed = unvalidated.allowed(to, batch, SEGMENT.min(batch.len()), now);
        unvalidated.sent(to, &batch[..allowed], now);
        allowed
    }

    fn short(destination: Id, bytes: usize) -> Vec<u8> {
        let mut packet = vec![0x40];
        packet.extend_from_slice(&destination);
        packet.resize(bytes, 0);
        packet
    }

    fn address(number: u8) -> SocketAddr {
        SocketAddr::new([192, 0, 2, number].into(), 4433)
    }

    fn long(destination: &[u8], source: &[u8], bytes: usize) -> Vec<u8> {
        let mut packet = vec![0xc0, 0, 0, 0, 1];
        for id in [destination, source] {
            packet.push(u8::try_from(id.len()).unwrap());
            packet.extend_from_slice(id);
        }
        packet.resize(bytes.max(packet.len()), 0);
        packet
    }
}
