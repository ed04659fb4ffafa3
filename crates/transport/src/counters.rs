//! What an endpoint has done and refused since it was opened. Each is one relaxed atomic: cheap enough for every
//! packet train, and exact once the endpoint is quiet.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{stats::LinkStats, wire::TrafficClass};

/// Why something from outside was turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// Packets that begin a handshake come faster than they are looked at.
    Flood,
    /// As many handshakes as may be under way are under way.
    Handshakes,
    /// The address was asked to prove itself by a Retry first.
    Retry,
    /// The address begins more handshakes than one address may.
    AddressRate,
    /// The bytes that the process may hold for peers are taken.
    Memory,
    /// Too many bytes of requests wait for an answer.
    RequestBytes,
    /// The peer has not acknowledged too many bytes of answers.
    AnswerBytes,
    /// Too many bytes of datagrams wait for the owner.
    DatagramBytes,
    /// Too many bytes of datagrams of this endpoint's own wait to be sent over one connection.
    DatagramBuffer,
    /// What a stream began with is not the protocol.
    Malformed,
}

impl Refused {
    /// Every reason with its label, in the order of [`Refused`].
    pub const LABELS: [&'static str; 10] = [
        "flood",
        "handshakes",
        "retry",
        "address_rate",
        "memory",
        "request_bytes",
        "answer_bytes",
        "datagram_bytes",
        "datagram_buffer",
        "malformed",
    ];
}

/// Who began, or which way bytes went, as this endpoint sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From a peer.
    Inbound,
    /// From this endpoint.
    Outbound,
}

impl Direction {
    /// Both with their labels, in the order of [`Direction`].
    pub const LABELS: [&'static str; 2] = ["inbound", "outbound"];
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handshake {
    /// Both sides proved their keys.
    Full,
    /// Both sides went on from an earlier connection.
    Resumed,
    /// One side refused the other: wrong node, no common algorithm, or not the protocol.
    Failed,
    /// It was not over in time.
    TimedOut,
}

impl Handshake {
    /// Every outcome with its label, in the order of [`Handshake`].
    pub const LABELS: [&'static str; 4] = ["full", "resumed", "failed", "timed_out"];
}

/// What became of the requests that a dial sent before its handshake was over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EarlyData {
    /// They were taken.
    Accepted,
    /// They were not, and travelled again.
    Rejected,
}

impl EarlyData {
    /// Both with their labels, in the order of [`EarlyData`].
    pub const LABELS: [&'static str; 2] = ["accepted", "rejected"];
}

/// A number for each direction of each of `N` things.
type Both<const N: usize> = [[AtomicU64; N]; 2];

/// See the module.
#[derive(Debug, Default)]
pub struct Counters {
    refused: [AtomicU64; Refused::LABELS.len()],
    handshakes: Both<{ Handshake::LABELS.len() }>,
    early_data: [AtomicU64; EarlyData::LABELS.len()],
    early_requests: AtomicU64,
    class_bytes: Both<{ TrafficClass::LABELS.len() }>,
    datagrams: Both<1>,
    datagram_bytes: Both<1>,
    packet_bytes: Both<1>,
    foreign_packets: AtomicU64,
    /// Of connections that have ended.
    lost_before: AtomicU64,
    /// The most that was told: between the end of a connection and its count the sum would go back.
    lost_told: AtomicU64,
}

impl Counters {
    pub(crate) fn refuse(&self, why: Refused) {
        add(&self.refused[why as usize], 1);
    }

    pub(crate) fn handshake(&self, direction: Direction, outcome: Handshake) {
        add(&self.handshakes[direction as usize][outcome as usize], 1);
    }

    pub(crate) fn early_data(&self, outcome: EarlyData) {
        add(&self.early_data[outcome as usize], 1);
    }

    /// A peer's request is served before its handshake is over.
    pub(crate) fn early_request(&self) {
        add(&self.early_requests, 1);
    }

    /// Bytes of requests, answers and streams, as their owners gave or get them.
    pub(crate) fn bytes(&self, direction: Direction, class: TrafficClass, count: usize) {
        add(&self.class_bytes[direction as usize][class.index()], count);
    }

    pub(crate) fn datagram(&self, direction: Direction, count: usize) {
        add(&self.datagrams[direction as usize][0], 1);
        add(&self.datagram_bytes[direction as usize][0], count);
    }

    /// Bytes of UDP packets, whatever is in them.
    pub(crate) fn packets(&self, direction: Direction, count: usize) {
        add(&self.packet_bytes[direction as usize][0], count);
    }

    pub(crate) fn foreign_packet(&self) {
        add(&self.foreign_packets, 1);
    }

    /// A connection has ended; `stats` are its last.
    pub(crate) fn ended(&self, stats: &LinkStats) {
        self.lost_before.fetch_add(stats.packets_lost, Ordering::Relaxed);
    }

    /// How often something was refused for this reason.
    pub fn refused(&self, why: Refused) -> u64 {
        read(&self.refused[why as usize])
    }

    /// How many handshakes of this direction ended so.
    pub fn handshakes(&self, direction: Direction, outcome: Handshake) -> u64 {
        read(&self.handshakes[direction as usize][outcome as usize])
    }

    /// Bytes of requests, answers and streams of one traffic class.
    pub fn class_bytes(&self, direction: Direction, class: TrafficClass) -> u64 {
        read(&self.class_bytes[direction as usize][class.index()])
    }

    /// Packets so far that are not QUIC and that nothing here speaks.
    pub fn foreign_packets(&self) -> u64 {
        read(&self.foreign_packets)
    }

    /// Every count with its name: a family, then its labels, with a point between. `lost_alive` are the packets
    /// that connections have lost which still live.
    pub(crate) fn list(&self, lost_alive: u64) -> Vec<(String, u64)> {
        let mut list = Vec::new();
        for (label, count) in Refused::LABELS.iter().zip(&self.refused) {
            list.push((format!("refused.{label}"), read(count)));
        }
        for (label, count) in EarlyData::LABELS.iter().zip(&self.early_data) {
            list.push((format!("early_data.{label}"), read(count)));
        }
        list.push(("early_requests".to_owned(), read(&self.early_requests)));
        for (at, direction) in Direction::LABELS.iter().enumerate() {
            let mut family = |name: &str, labels: &[&str], counts: &[AtomicU64]| {
                for (label, count) in labels.iter().zip(counts) {
                    list.push((format!("{name}.{direction}.{label}"), read(count)));
                }
            };
            family("handshakes", &Handshake::LABELS, &self.handshakes[at]);
            family("bytes", &TrafficClass::LABELS, &self.class_bytes[at]);
            family("bytes", &["datagram"], &self.datagram_bytes[at]);
            list.push((format!("datagrams.{direction}"), read(&self.datagrams[at][0])));
            list.push((
                format!("packet_bytes.{direction}"),
                read(&self.packet_bytes[at][0]),
            ));
        }
        list.push(("foreign_packets".to_owned(), self.foreign_packets()));
        list.push(("packets_lost".to_owned(), self.lost(lost_alive)));
        list
    }

    fn lost(&self, alive: u64) -> u64 {
        let now = read(&self.lost_before) + alive;
        now.max(self.lost_told.fetch_max(now, Ordering::Relaxed))
    }
}

fn add(count: &AtomicU64, amount: usize) {
    // A usize fits on every platform that quinn runs on.
    count.fetch_add(amount as u64, Ordering::Relaxed);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_a_name_of_its_own() {
        let counters = Counters::default();
        let names: std::collections::HashSet<String> =
            counters.list(0).into_iter().map(|(name, _)| name).collect();

        assert_eq!(names.len(), counters.list(0).len());
    }

    #[test]
    fn what_is_counted_is_listed_under_its_name() {
        let counters = Counters::default();
        counters.refuse(Refused::Malformed);
        counters.handshake(Direction::Inbound, Handshake::TimedOut);
        counters.early_data(EarlyData::Rejected);
        counters.early_request();
        counters.bytes(Direction::Outbound, TrafficClass::new(4).unwrap(), 7);
        counters.datagram(Direction::Inbound, 9);
        counters.packets(Direction::Outbound, 1200);
        counters.foreign_packet();

        let moved: Vec<(String, u64)> = counters
            .list(3)
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();

        let expected = [
            ("refused.malformed", 1),
            ("early_data.rejected", 1),
            ("early_requests", 1),
            ("handshakes.inbound.timed_out", 1),
            ("bytes.inbound.datagram", 9),
            ("datagrams.inbound", 1),
            ("bytes.outbound.bulk", 7),
            ("packet_bytes.outbound", 1200),
            ("foreign_packets", 1),
            ("packets_lost", 3),
        ];
        assert_eq!(moved, expected.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn lost_packets_never_go_back() {
        let counters = Counters::default();
        assert_eq!(counters.lost(5), 5);
        // The connection is gone from the living and not yet among the ended.
        assert_eq!(counters.lost(0), 5);
        counters.lost_before.fetch_add(6, Ordering::Relaxed);
        assert_eq!(counters.lost(0), 6);
    }
}
