//! Every limit of the transport. quinn's own defaults are not limits: its receive window is unbounded.

use std::{net::IpAddr, sync::Arc, time::Duration};

use quinn::{
    AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt, congestion::CubicConfig,
};

use crate::address_rate::AddressRates;

/// Most bytes in the body of a request.
pub const MAX_REQUEST_BYTES: usize = 262_144;
/// Most bytes that an answer may have, whatever its caller allows.
pub const MAX_RESPONSE_BYTES: usize = 1_048_576;
/// Handshakes under way at once; one more takes the place of one of the host that has most, or is ignored.
pub const MAX_HANDSHAKES: usize = 1024;
/// From here on a client has to prove its address by a Retry first, which costs us no signature.
pub const RETRY_ABOVE: usize = 256;
/// A handshake that takes longer is dropped.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// When an address that is dialled did not end its handshake, another attempt runs beside the first, and a third:
/// quinn waits longer each time before it repeats a packet.
pub const DIAL_AGAIN: [Duration; 2] = [Duration::from_millis(1500), Duration::from_secs(3)];
/// Time for the four bytes that say what a stream is.
pub const STREAM_HEADER_TIME: Duration = Duration::from_secs(10);
/// Time for the rest of a request to arrive.
pub const REQUEST_BODY_TIME: Duration = Duration::from_secs(30);
/// Addresses that one dial tries.
pub const MAX_DIAL_ADDRESSES: usize = 16;
/// RFC 8305 §5: one attempt after another by this much.
pub const DIAL_STAGGER: Duration = Duration::from_millis(250);
/// How often a connection that lost against its twin is looked at, and closed when it carries nothing more.
pub const DRAIN_TIME: Duration = Duration::from_secs(1);
/// Bytes that wait to be read from one stream.
pub const STREAM_READ_AHEAD: usize = 1 << 20;
/// The same when the connection or the process has many of them.
pub const STREAM_READ_AHEAD_FREE: usize = 16 << 10;
/// Bytes that wait to be read from all streams of a connection; above it each has only [`STREAM_READ_AHEAD_FREE`].
pub const MAX_CONNECTION_READ_AHEAD: usize = 8 << 20;
/// Bytes that wait to be written to one stream.
pub const MAX_STREAM_BACKLOG: usize = 16 << 20;

/// Bytes in the text of an error that travels.
pub const MAX_ERROR_TEXT_BYTES: usize = 256;
/// Bytes of datagrams that may wait for the owner; more are dropped, as they might be on the way.
pub const MAX_WAITING_DATAGRAM_BYTES: usize = 4 << 20;
/// Bytes of all requests that wait for an answer; more are refused.
pub const MAX_WAITING_REQUEST_BYTES: usize = 64 << 20;
/// The same of one connection, and less until its peer has read answers: see [`FIRST_HELD_BYTES`].
pub const MAX_CONNECTION_REQUEST_BYTES: usize = 8 << 20;
/// Bytes of a peer's requests that come in or wait for an answer, and of answers that it has not acknowledged; one answer
/// may always wait when nothing else does. Further ones become refusals. A peer that reads its answers may have as many more as it has read,
/// up to [`MAX_HELD_BYTES`].
pub const FIRST_HELD_BYTES: usize = 768 << 10;
/// See [`FIRST_HELD_BYTES`].
pub const MAX_HELD_BYTES: usize = 16 << 20;
/// An answer up to this is not counted: a peer has at most as many as it has streams.
pub const SMALL_ANSWER_BYTES: usize = 512;
/// A smaller piece of what came in is copied: it would keep the whole packet train that it came with.
pub const SMALL_PIECE_BYTES: usize = 4096;
/// Above this a writer is told to wait until the network has taken some.
pub const STREAM_WRITE_AHEAD: usize = 1 << 20;
/// Bytes that wait to be written to all streams of a connection; above it each writer is told to wait after one piece. A
/// peer that takes them may make as many more wait as it has taken, up to [`MAX_CONNECTION_WRITE_AHEAD`].
pub const FIRST_WRITE_AHEAD: usize = 128 << 10;
/// See [`FIRST_WRITE_AHEAD`].
pub const MAX_CONNECTION_WRITE_AHEAD: usize = 8 << 20;
/// How long an endpoint that closes waits for its goodbyes to leave.
pub const CLOSE_TIME: Duration = Duration::from_millis(300);
/// Two connections that came up within this time of each other were dialled at the same time.
pub const SIMULTANEOUS_TIME: Duration = Duration::from_secs(5);

/// Limits of one endpoint that a test may set lower, or an operator higher.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Handshakes under way at once.
    pub handshakes: usize,
    /// From so many on a client has to prove its address first.
    pub retry_above: usize,
    /// For a handshake that a peer begins.
    pub handshake_time: Duration,
    /// For the first four bytes of a stream.
    pub stream_header_time: Duration,
    /// For the rest of a request.
    pub request_body_time: Duration,
    /// Handshakes that one address may begin.
    pub address_rates: AddressRates,
}

impl Default for Limits {
    /// What this module documents.
    fn default() -> Self {
        Self {
            handshakes: MAX_HANDSHAKES,
            retry_above: RETRY_ABOVE,
            handshake_time: HANDSHAKE_TIME,
            stream_header_time: STREAM_HEADER_TIME,
            request_body_time: REQUEST_BODY_TIME,
            address_rates: AddressRates::default(),
        }
    }
}

const IDLE_TIME: Duration = Duration::from_secs(30);
/// Only the dialling side keeps a connection alive: both sides at once would double the cost.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bytes that a peer may send over one stream before any are read.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// The same over all streams of a connection, at its start: what every peer may make this process hold.
pub const FIRST_WINDOW: u32 = 1 << 20;
/// Where the window of a connection ends that grows because its streams are read as fast as they come.
pub const MAX_WINDOW: u32 = 16 << 20;
/// Streams of one connection that are not read and whose windows do not count against the others.
pub const MAX_STALLED_STREAMS: u64 = 16;
/// Bytes of bulk streams that wait for an acknowledgement, at the start of a connection; more urgent classes have
/// more room.
pub const FIRST_SEND_WINDOW: u64 = 192 << 10;
/// The same on a path that takes much at once.
pub const MAX_SEND_WINDOW: u64 = 4 << 20;
/// Streams that a peer may have open at once over a connection that is used much; each costs about 3 KiB.
pub(crate) const CONCURRENT_STREAMS: u32 = 256;
/// The same over any other: quinn keeps state for each stream that may come.
const FIRST_CONCURRENT_STREAMS: u32 = 32;
/// From so many on a connection is used much.
pub(crate) const MANY_STREAMS: usize = 16;
/// Bytes of datagrams that wait to be sent over one connection, with [`DATAGRAM_OVERHEAD`] for each: one more is not
/// taken. And of those that came and were not looked at yet.
pub const DATAGRAM_BUFFER: usize = 256 << 10;
/// What quinn keeps for a datagram beside its bytes, which begin with two of this protocol's.
pub const DATAGRAM_OVERHEAD: usize = size_of::<bytes::Bytes>();

/// The largest packets that path discovery may find, on loopback and with jumbo frames. quinn sends up to ten
/// at once, and one system call takes at most 65,507 bytes: more would be an error that looks like loss.
pub(crate) const LARGEST_PACKET_BYTES: u16 = 6500;
/// What may be under way on loopback before the first acknowledgement: a shard of a full segment.
const LOOPBACK_WINDOW_BYTES: u64 = 1 << 20;
/// Ethernet's 1,500 without the headers of IPv6 and UDP.
const LARGEST_PUBLIC_PACKET_BYTES: u16 = 1452;

/// Where the other end of a path is, which says how large its packets may get.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Path {
    /// The same machine.
    Loopback,
    /// A network of the operator's: jumbo frames are possible.
    Private,
    /// Anywhere else: Ethernet's size at most.
    Public,
}

impl Path {
    pub(crate) fn to(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let private = match address {
            IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
        };
        match private {
            _ if address.is_loopback() => Self::Loopback,
            true => Self::Private,
            false => Self::Public,
        }
    }

    fn congestion(self) -> CubicConfig {
        let mut congestion = CubicConfig::default();
        if self == Self::Loopback {
            // No wire to fill: only the receiver's socket buffer, and flow control looks after that.
            congestion.initial_window(LOOPBACK_WINDOW_BYTES);
        }
        congestion
    }

    fn discovery(self) -> MtuDiscoveryConfig {
        let mut discovery = MtuDiscoveryConfig::default();
        match self {
            // Loopback takes any size: one probe of the largest, because the other end reads its padding byte by byte.
            Self::Loopback => discovery.upper_bound(LARGEST_PACKET_BYTES).minimum_change(3000),
            Self::Private => discovery.upper_bound(LARGEST_PACKET_BYTES),
            Self::Public => discovery.upper_bound(LARGEST_PUBLIC_PACKET_BYTES),
        };
        discovery
    }
}

/// One value for each kind of path.
#[derive(Clone)]
pub(crate) struct PerPath<T> {
    loopback: T,
    private: T,
    public: T,
}

impl<T> PerPath<T> {
    pub(crate) fn new(make: impl Fn(Path) -> T) -> Self {
        Self {
            loopback: make(Path::Loopback),
            private: make(Path::Private),
            public: make(Path::Public),
        }
    }

    pub(crate) fn to(&self, address: IpAddr) -> &T {
        match Path::to(address) {
            Path::Loopback => &self.loopback,
            Path::Private => &self.private,
            Path::Public => &self.public,
        }
    }
}

/// What both sides say at the start of a connection.
pub(crate) fn transport_config(dialling: bool, path: Path) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(10));
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(FIRST_CONCURRENT_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(FIRST_WINDOW))
        .send_window(FIRST_SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .mtu_discovery_config(Some(path.discovery()))
        .congestion_controller_factory(Arc::new(path.congestion()))
        .ack_frequency_config(Some(acks))
        // A post-quantum handshake loses a packet more often than a small one; 333 ms would double its tail.
        .initial_rtt(Duration::from_millis(100))
        .max_idle_timeout(IdleTimeout::try_from(IDLE_TIME).ok())
        .keep_alive_interval(dialling.then_some(KEEP_ALIVE));
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_by_where_the_other_end_is() {
        let paths = [
            ("127.0.0.1", Path::Loopback),
            ("::ffff:127.8.8.8", Path::Loopback),
            ("::1", Path::Loopback),
            ("10.1.2.3", Path::Private),
            ("::ffff:192.168.1.1", Path::Private),
            ("fd00::1", Path::Private),
            ("fe80::1", Path::Private),
            ("192.0.2.1", Path::Public),
            ("100.64.0.1", Path::Public),
            ("2001:db8::1", Path::Public),
        ];
        for (address, path) in paths {
            assert_eq!(Path::to(address.parse().unwrap()), path, "{address}");
        }
    }
}
