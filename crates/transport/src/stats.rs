//! Figures of a connection.

use std::time::Duration;

/// What is known of the connection with a peer.
#[derive(Clone, Copy, Debug)]
pub struct LinkStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// UDP payload sent.
    pub bytes_sent: u64,
    /// UDP payload received; on the side that accepts, without the packet that began the connection.
    pub bytes_received: u64,
    /// Packets that were declared lost.
    pub packets_lost: u64,
}

impl LinkStats {
    pub(crate) fn of(connection: &quinn::Connection) -> Self {
        let stats = connection.stats();
        Self {
            rtt: connection.rtt(),
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            packets_lost: stats.path.lost_packets,
        }
    }
}
