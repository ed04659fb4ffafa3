//! What an endpoint has done and refused since it was opened. Each is one relaxed atomic: cheap enough for every
//! packet train, and exact once the endpoint is quiet.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why something from outside was turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
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
    /// Too many bytes of datagrams wait for the owner.
    DatagramBytes,
    /// What a stream began with is not the protocol.
    Malformed,
}

impl Refused {
    /// Every reason with its label, in the order of [`Refused`].
    pub const LABELS: [&'static str; 7] = [
        "handshakes",
        "retry",
        "address_rate",
        "memory",
        "request_bytes",
        "datagram_bytes",
        "malformed",
    ];
}

/// See the module.
#[derive(Debug, Default)]
pub struct Counters {
    refused: [AtomicU64; Refused::LABELS.len()],
}

impl Counters {
    pub(crate) fn refuse(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was refused for this reason.
    pub fn refused(&self, why: Refused) -> u64 {
        self.refused[why as usize].load(Ordering::Relaxed)
    }
}
