//! What comes from and goes to addresses that have not shown that a client is there. What goes there is at most three
//! times what came (RFC 9000 §8.1). quinn lets the datagram pass that oversteps the limit, and the post-quantum
//! answer to a hello of 2,400 bytes leaves less than a datagram below 7,200: a forged hello would make it repeat
//! itself to somebody else. So the socket counts too, and drops what is too much. What comes from there is
//! limited by [`Flood`].
//!
//! A packet with a long header belongs to a handshake. One with a short header is counted when it goes to a
//! connection id that the unproved client gave itself: what goes to an established connection with the same
//! address must not be held up by somebody who forges hellos from there.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use parking_lot::Mutex;

use crate::{
    bucket::Bucket,
    flood::{Flood, ONE_ADDRESS, ONE_STRANGER},
    limits::HANDSHAKE_TIME,
    long_header::{ID_BYTES, Id, Kind, LongHeader, is_long, is_negotiation},
    recent::Recent,
};

/// RFC 9000 §8.1.
const FACTOR: usize = 3;
/// RFC 9000 §14.1: quinn ignores a client's first packet in a smaller datagram.
const MIN_INITIAL_BYTES: usize = 1200;
/// Addresses of each kind that are remembered, at least; twice as many at most.
const REMEMBERED: usize = 8192;
/// Connection ids of each side that are remembered for one address.
const REMEMBERED_IDS: usize = 16;

pub(crate) struct Unvalidated {
    tables: Mutex<Tables>,
    /// As in the tables: most of the time there are none, and nobody need look.
    unknown: AtomicUsize,
}

struct Tables {
    valid: Recent<SocketAddr, Valid>,
    unknown: Recent<SocketAddr, Credit>,
    flood: Flood,
}

/// An address that answered to what was sent there, or that this node sent to first.
struct Valid {
    is_dialled: bool,
    /// For what begins further handshakes.
    begins: Bucket,
    /// As in [`Credit`].
    ours: Ids,
}

struct Credit {
    /// For what begins handshakes.
    begins: Bucket,
    received: usize,
    sent: usize,
    /// What this node calls itself there. Who knows one gets what is sent there.
    ours: Ids,
    /// What clients there call themselves.
    theirs: Ids,
    /// What clients there made up for this node; of longer ones, the beginning.
    made_up: Ids,
}

impl Credit {
    fn new(now: Instant) -> Self {
        Self {
            begins: Bucket::full(ONE_STRANGER, now),
            received: 0,
            sent: 0,
            ours: Ids::default(),
            theirs: Ids::default(),
            made_up: Ids::default(),
        }
    }
}

/// The last ids that were seen; bounded by `REMEMBERED_IDS`.
#[derive(Default)]
struct Ids(VecDeque<Id>);

impl Ids {
    fn contains(&self, id: &[u8]) -> bool {
        self.0.iter().any(|known| known == id)
    }

    fn remember(&mut self, id: Id) {
        if !self.0.contains(&id) {
            self.0.truncate(REMEMBERED_IDS - 1);
            self.0.push_front(id);
        }
    }
}

/// What becomes of a packet with a long header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Passage {
    /// It goes on to quinn.
    Passes,
    /// No node sends such a packet.
    IsForeign,
    /// It belongs to no handshake that is known, and begins none.
    IsStray,
    /// There are too many like it.
    IsTooMuch,
}

impl Passage {
    fn of(is_admitted: bool) -> Self {
        if is_admitted {
            Self::Passes
        } else {
            Self::IsTooMuch
        }
    }
}

impl Unvalidated {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tables: Mutex::new(Tables {
                valid: Recent::new(REMEMBERED, HANDSHAKE_TIME),
                unknown: Recent::new(REMEMBERED, HANDSHAKE_TIME),
                flood: Flood::new(now),
            }),
            unknown: AtomicUsize::new(0),
        }
    }

    /// This node is about to dial an address: what it sends there is its own wish.
    pub(crate) fn dials(&self, address: SocketAddr, now: Instant) {
        let mut tables = self.tables.lock();
        tables.validate(address, now).is_dialled = true;
        self.publish(&tables);
    }

    /// Whether [`Self::allowed`] has something to say about a batch.
    pub(crate) fn may_limit(&self, batch: &[u8]) -> bool {
        is_long(batch) || self.unknown.load(Ordering::Relaxed) > 0
    }

    fn publish(&self, tables: &Tables) {
        self.unknown.store(tables.unknown.len(), Ordering::Relaxed);
    }

    /// Judges a datagram with a long header, and counts it when it passes.
    pub(crate) fn received(&self, address: SocketAddr, datagram: &[u8], now: Instant) -> Passage {
        let mut tables = self.tables.lock();
        let passage = match LongHeader::of(datagram) {
            Some(header) => tables.received(address, &header, datagram.len(), now),
            // A server of another version may repeat any id (RFC 9000 §6.1), and answers to a dial only.
            None if is_negotiation(datagram) && tables.is_dialled(address, now) => Passage::Passes,
            None => Passage::IsForeign,
        };
        self.publish(&tables);
        passage
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
        let header = LongHeader::of(batch);
        if let Some(credit) = tables.credit(address, batch, now) {
            credit.sent += batch.len();
            if let Some(header) = header {
                credit.ours.remember(header.source);
            }
        } else if let (Some(header), Some(valid)) = (header, tables.valid.peek(address)) {
            valid.ours.remember(header.source);
        }
    }
}

impl Tables {
    fn is_dialled(&mut self, address: SocketAddr, now: Instant) -> bool {
        let valid = self.valid.get(address, now);
        valid.is_some_and(|valid| valid.is_dialled)
    }

    fn validate(&mut self, address: SocketAddr, now: Instant) -> &mut Valid {
        let known = self.unknown.remove(address);
        self.valid.get_or(address, now, || Valid {
            is_dialled: false,
            begins: Bucket::full(ONE_ADDRESS, now),
            ours: known.map(|credit| credit.ours).unwrap_or_default(),
        })
    }

    fn received(
        &mut self,
        address: SocketAddr,
        header: &LongHeader<'_>,
        bytes: usize,
        now: Instant,
    ) -> Passage {
        if let Some(valid) = self.valid.get(address, now) {
            return Passage::of(match header.kind {
                Kind::Initial if valid.ours.contains(header.destination) => {
                    valid.is_dialled || self.flood.admits_answer(now)
                }
                Kind::Initial => {
                    valid.begins.take(ONE_ADDRESS, now) && (valid.is_dialled || self.flood.admits_proved(now))
                }
                Kind::ZeroRtt | Kind::Handshake | Kind::Retry => true,
            });
        }
        // RFC 9000 §8.1: an id of at least 64 bits that this node chose.
        let known = self.unknown.peek(address);
        if known.is_some_and(|credit| credit.ours.contains(header.destination)) {
            let is_admitted = header.kind != Kind::Initial || self.flood.admits_answer(now);
            if is_admitted {
                self.validate(address, now);
            }
            return Passage::of(is_admitted);
        }
        let made_up = beginning(header.destination);
        match header.kind {
            Kind::Initial if bytes >= MIN_INITIAL_BYTES => {
                let known = self.unknown.peek(address);
                if known.is_some_and(|credit| !credit.begins.take(ONE_STRANGER, now))
                    || !self.flood.admits_stranger(address, header.destination, now)
                {
                    return Passage::IsTooMuch;
                }
                let credit = self.unknown.get_or(address, now, || Credit::new(now));
                credit.received += bytes;
                credit.theirs.remember(header.source);
                credit.made_up.remember(made_up);
                Passage::Passes
            }
            // It comes with the first packets of a client that resumes a session.
            Kind::ZeroRtt => match self.unknown.peek(address) {
                Some(credit) if credit.made_up.contains(&made_up) => {
                    credit.received += bytes;
                    Passage::Passes
                }
                _ => Passage::IsStray,
            },
            _ => Passage::IsStray,
        }
    }

    /// The account that a batch of datagrams goes to; none when nothing limits it.
    fn credit(&mut self, address: SocketAddr, batch: &[u8], now: Instant) -> Option<&mut Credit> {
        if !is_long(batch) {
            let credit = self.unknown.peek(address)?;
            let is_to_them = batch
                .get(1..=ID_BYTES)
                .is_some_and(|to| credit.theirs.contains(to));
            return is_to_them.then_some(credit);
        }
        if self.valid.get(address, now).is_some() {
            return None;
        }
        Some(self.unknown.get_or(address, now, || Credit::new(now)))
    }
}

/// An id is at most 20 bytes; eight that are random are enough to tell one from another.
fn beginning(id: &[u8]) -> Id {
    let mut beginning = Id::default();
    for (to, from) in beginning.iter_mut().zip(id) {
        *to = *from;
    }
    beginning
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::long_header::tests::packet;

    const SEGMENT: usize = 1200;

    #[test]
    fn an_address_gets_three_times_what_came_from_it_and_not_a_byte_more() {
        let (unvalidated, now) = start();
        for _ in 0..2 {
            assert!(passes(&unvalidated, 1, &initial(b"made up by them", THEIRS), now));
        }
        let send = |bytes| send(&unvalidated, address(1), &long(THEIRS, OURS, bytes), now);
        assert_eq!(send(7 * SEGMENT), 6 * SEGMENT);
        assert_eq!(send(SEGMENT), 0);

        let early = packet(Kind::ZeroRtt, b"made up by them", THEIRS, 100);
        assert!(passes(&unvalidated, 1, &early, now));
        assert_eq!(send(301), 0);
        assert_eq!(send(299), 299);
        assert_eq!(send(22), 0);
    }

    #[test]
    fn who_knows_the_id_that_was_sent_there_is_there() {
        let (unvalidated, now) = start();
        let send = || send(&unvalidated, address(1), &long(THEIRS, OURS, 9000), now);
        assert!(passes(&unvalidated, 1, &initial(b"a guess", THEIRS), now));
        assert_eq!(send(), 3600);
        assert!(passes(&unvalidated, 1, &initial(b"another!", THEIRS), now));
        assert_eq!(send(), 3600);
        // Coming from elsewhere it says nothing about this address.
        assert!(passes(&unvalidated, 2, &initial(OURS, THEIRS), now));
        assert_eq!(send(), 0);
        assert!(passes(&unvalidated, 1, &long(OURS, THEIRS, 50), now));
        assert_eq!(send(), 9000);
    }

    #[test]
    fn short_headers_count_when_they_go_to_the_unproved_client_only() {
        let (unvalidated, now) = start();
        assert!(passes(&unvalidated, 1, &initial(b"made up by them", THEIRS), now));
        let send = |to: &Id, bytes| send(&unvalidated, address(1), &short(*to, bytes), now);
        assert!(unvalidated.may_limit(&short(*THEIRS, 1200)));
        assert_eq!(send(b"another ", 9000), 9000);
        assert_eq!(send(THEIRS, 3600), 3600);
        assert_eq!(send(THEIRS, 30), 0);
        assert_eq!(send(b"another ", 9000), 9000);
    }

    #[test]
    fn whom_this_node_dials_is_not_limited() {
        let (unvalidated, now) = start();
        unvalidated.dials(address(1), now);
        assert!(!unvalidated.may_limit(&short(*THEIRS, 1200)));
        let send = || {
            let first = packet(Kind::Initial, b"made up by us", OURS, 2400);
            send(&unvalidated, address(1), &first, now)
        };
        assert_eq!(send(), 2400);
        for _ in 0..20_000 {
            assert!(passes(&unvalidated, 1, &initial(OURS, THEIRS), now));
        }
        assert_eq!(send(), 2400);
    }

    #[test]
    fn what_is_not_seen_for_long_or_among_too_many_is_forgotten() {
        let (unvalidated, begin) = start();
        let mut now = begin;
        unvalidated.dials(address(1), now);
        for port in 0..40_000 {
            // A thousand a second pass.
            now += Duration::from_millis(1);
            let stranger = SocketAddr::new([10, 0, 0, 1].into(), port);
            let passage = unvalidated.received(stranger, &initial(b"", THEIRS), now);
            assert_eq!(passage, Passage::Passes);
            // What is used stays.
            if port % 1000 == 0 {
                assert_eq!(send(&unvalidated, address(1), &long(THEIRS, OURS, 100), now), 100);
            }
            assert!(unvalidated.unknown.load(Ordering::Relaxed) <= 2 * REMEMBERED);
        }
        assert!(unvalidated.unknown.load(Ordering::Relaxed) > REMEMBERED / 2);
        for _ in 1..3 {
            now += HANDSHAKE_TIME + Duration::from_millis(1);
            assert!(passes(&unvalidated, 3, &initial(b"", THEIRS), now));
        }
        assert_eq!(unvalidated.unknown.load(Ordering::Relaxed), 1);
        assert_eq!(unvalidated.tables.lock().valid.len(), 0);
    }

    #[test]
    fn a_flood_of_strangers_holds_up_no_handshake_that_is_under_way_and_no_address_that_proved_itself() {
        let (unvalidated, now) = start();
        unvalidated.dials(address(1), now);
        for number in [2, 3] {
            assert!(passes(&unvalidated, number, &initial(b"made up", THEIRS), now));
            send(&unvalidated, address(number), &long(THEIRS, OURS, 100), now);
        }
        assert!(passes(&unvalidated, 3, &long(OURS, THEIRS, 1200), now));
        let flood = || {
            for port in 0..u16::MAX {
                let stranger = SocketAddr::new([10, 0, 0, 1].into(), port);
                unvalidated.received(stranger, &initial(b"made up", THEIRS), now);
            }
        };
        flood();
        assert!(!passes(&unvalidated, 4, &initial(b"made up", THEIRS), now));
        assert!(passes(&unvalidated, 1, &initial(OURS, THEIRS), now));
        assert!(passes(&unvalidated, 2, &initial(OURS, THEIRS), now));
        assert!(passes(&unvalidated, 2, &long(OURS, THEIRS, 1200), now));
        // These begin another one.
        assert!(passes(&unvalidated, 2, &initial(b"new", THEIRS), now));
        assert!(passes(&unvalidated, 3, &initial(b"new", THEIRS), now));
        assert_eq!(
            send(&unvalidated, address(3), &long(THEIRS, OURS, 9000), now),
            9000
        );
    }

    #[test]
    fn an_address_that_proved_itself_takes_no_more_than_its_share() {
        let (unvalidated, now) = start();
        for number in [1, 2, 3] {
            assert!(passes(&unvalidated, number, &initial(b"made up", THEIRS), now));
            send(&unvalidated, address(number), &long(THEIRS, OURS, 100), now);
            assert!(passes(&unvalidated, number, &long(OURS, THEIRS, 1200), now));
        }
        let count = |number| {
            let new = initial(b"new", THEIRS);
            (0..20_000)
                .filter(|_| passes(&unvalidated, number, &new, now))
                .count()
        };
        assert_eq!([count(1), count(2), count(3)], [4000, 4000, 0]);
        // What is under way goes on.
        assert!(passes(&unvalidated, 1, &initial(OURS, THEIRS), now));
    }

    #[test]
    fn a_stranger_leaves_room_for_others() {
        let (unvalidated, now) = start();
        let new = initial(b"new", THEIRS);
        let count = |number| {
            (0..20_000)
                .filter(|_| passes(&unvalidated, number, &new, now))
                .count()
        };
        // The first makes the address known.
        assert_eq!([count(1), count(2), count(3)], [1001, 999, 0]);
    }

    #[test]
    fn what_begins_no_handshake_and_belongs_to_none_is_dropped() {
        let (unvalidated, now) = start();
        let judge = |packet: &[u8]| unvalidated.received(address(1), packet, now);
        for kind in [Kind::ZeroRtt, Kind::Handshake, Kind::Retry] {
            assert_eq!(judge(&packet(kind, b"made up", THEIRS, 1200)), Passage::IsStray);
        }
        assert_eq!(judge(&initial(b"made up", THEIRS)[..1199]), Passage::IsStray);
        assert_eq!(judge(&initial(b"made up", b"1234567")), Passage::IsForeign);
        let mut another_version = initial(b"made up", THEIRS);
        another_version[4] = 2;
        assert_eq!(judge(&another_version), Passage::IsForeign);
        another_version[4] = 0;
        assert_eq!(judge(&another_version), Passage::IsForeign);
        unvalidated.dials(address(1), now);
        assert_eq!(judge(&another_version), Passage::Passes);
        assert_eq!(unvalidated.unknown.load(Ordering::Relaxed), 0);
    }

    const OURS: &Id = b"our id 1";
    const THEIRS: &Id = b"their id";

    fn start() -> (Unvalidated, Instant) {
        let now = Instant::now();
        (Unvalidated::new(now), now)
    }

    fn passes(unvalidated: &Unvalidated, from: u8, packet: &[u8], now: Instant) -> bool {
        unvalidated.received(address(from), packet, now) == Passage::Passes
    }

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

    /// As a client sends it.
    fn initial(destination: &[u8], source: &[u8]) -> Vec<u8> {
        packet(Kind::Initial, destination, source, SEGMENT)
    }

    fn long(destination: &[u8], source: &[u8], bytes: usize) -> Vec<u8> {
        packet(Kind::Handshake, destination, source, bytes)
    }
}
