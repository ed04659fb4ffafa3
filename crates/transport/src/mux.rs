//! The one UDP socket of a node, of one or two families. quinn sees a single IPv6 socket; packets that
//! are not QUIC never reach it. The only module that names quinn's socket traits.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit, UdpSocketState},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::Interest,
    net::UdpSocket,
    time::{Sleep, sleep},
};

use crate::{
    counters::{Counters, Direction, Refused},
    error::TransportError,
    long_header::is_long,
    unvalidated::{Passage, Unvalidated},
};

/// What the kernel is asked for; it gives what its own limit allows. A burst that overflows is loss.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Bit that every QUIC v1 packet has set (RFC 9000 §17); our own packets leave it clear.
const QUIC_BIT: u8 = 0x40;
/// Errors in a row that are taken as news about packets that were sent; more mean a broken interface.
const MAX_ERRORS_IN_A_ROW: usize = 64;
/// Pause before a broken socket is asked again, so that it can't spin.
const BROKEN_PAUSE: Duration = Duration::from_millis(100);

/// One family's socket.
struct Family {
    io: UdpSocket,
    state: UdpSocketState,
}

/// Both families under one roof.
pub(crate) struct Mux {
    v4: Option<Family>,
    v6: Option<Family>,
    port: u16,
    counters: Arc<Counters>,
    unvalidated: Unvalidated,
    pause: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Mux {
    /// Binds one or two addresses, of different families, to one port; port 0 takes a free one.
    pub(crate) fn bind(hosts: &[IpAddr], port: u16, counters: Arc<Counters>) -> Result<Self, TransportError> {
        let v4_host = single(hosts, IpAddr::is_ipv4)?;
        let v6_host = single(hosts, IpAddr::is_ipv6)?;
        let mut port = port;
        let mut bind = |host: Option<IpAddr>| -> Result<Option<Family>, TransportError> {
            let Some(host) = host else { return Ok(None) };
            let family = Family::bind(SocketAddr::new(host, port))?;
            port = family.io.local_addr().map_err(|error| internal(&error))?.port();
            Ok(Some(family))
        };
        let (v4, v6) = match bind(v4_host) {
            // Without IPv4 the other family has to do, and the other way round: a status, not a failure.
            Err(_) if v4_host.is_some_and(|host| host.is_unspecified()) && v6_host.is_some() => {
                (None, bind(v6_host)?)
            }
            first => {
                let first = first?;
                let optional = first.is_some() && v6_host.is_some_and(|host| host.is_unspecified());
                match bind(v6_host) {
                    Err(_) if optional => (first, None),
                    second => (first, second?),
                }
            }
        };
        Ok(Self {
            v4,
            v6,
            port,
            counters,
            unvalidated: Unvalidated::new(Instant::now()),
            pause: Mutex::new(None),
        })
    }

    /// The addresses that were bound.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.families()
            .filter_map(|family| family.io.local_addr().ok())
            .collect()
    }

    /// Whether an address of this family can be dialled.
    pub(crate) fn reaches(&self, address: SocketAddr) -> bool {
        if address.is_ipv4() {
            self.v4.is_some()
        } else {
            self.v6.is_some()
        }
    }

    /// This node is about to dial an address.
    pub(crate) fn dials(&self, address: SocketAddr) {
        self.unvalidated.dials(from_v6(address), Instant::now());
    }

    fn families(&self) -> impl Iterator<Item = &Family> {
        self.v4.iter().chain(self.v6.iter())
    }

    fn take(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        self.counters.packets(Direction::Inbound, meta.len);
        let from = meta.addr;
        let passes = |packet: &[u8]| {
            if !is_long(packet) {
                return true;
            }
            match self.unvalidated.received(from, packet, Instant::now()) {
                Passage::Passes => return true,
                Passage::IsForeign => self.counters.foreign_packet(),
                Passage::IsTooMuch => self.counters.refuse(Refused::Flood),
                Passage::IsStray => {}
            }
            false
        };
        for _ in 0..keep_quic(buffer, meta, passes) {
            self.counters.foreign_packet();
        }
        meta.addr = to_v6(meta.addr);
    }

    fn poll_family(
        &self,
        family: &Family,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..MAX_ERRORS_IN_A_ROW {
            ready!(family.io.poll_recv_ready(cx))?;
            let received = family.io.try_io(Interest::READABLE, || {
                family.state.recv((&family.io).into(), bufs, meta)
            });
            // An error is nothing yet; or ICMP's word about a packet that was sent, which says nothing about
            // packets to come.
            if let Ok(count) = received {
                for (buffer, meta) in bufs.iter_mut().zip(meta.iter_mut()).take(count) {
                    self.take(buffer, meta);
                }
                return Poll::Ready(Ok(count));
            }
        }
        self.poll_pause(cx)
    }

    fn poll_pause(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut pause = self.pause.lock();
        let timer = pause.get_or_insert_with(|| Box::pin(sleep(BROKEN_PAUSE)));
        if timer.as_mut().poll(cx).is_ready() {
            *pause = None;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl AsyncUdpSocket for Mux {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller {
            mux: self,
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let destination = from_v6(transmit.destination);
        let family = if destination.is_ipv4() { &self.v4 } else { &self.v6 };
        // A packet for a family that is not there is lost, as it would be on the way.
        let Some(family) = family else { return Ok(()) };
        let mut contents = transmit.contents;
        let limited_at = self.unvalidated.may_limit(contents).then(Instant::now);
        if let Some(now) = limited_at {
            let segment = transmit.segment_size.unwrap_or(contents.len()).max(1);
            let allowed = self.unvalidated.allowed(destination, contents, segment, now);
            contents = &contents[..allowed];
            if contents.is_empty() {
                return Ok(());
            }
        }
        let transmit = Transmit {
            destination,
            contents,
            src_ip: transmit.src_ip.map(|ip| ip.to_canonical()),
            ..*transmit
        };
        family.io.try_io(Interest::WRITABLE, || {
            family.state.send((&family.io).into(), &transmit)
        })?;
        if let Some(now) = limited_at {
            self.unvalidated.sent(destination, contents, now);
        }
        self.counters.packets(Direction::Outbound, contents.len());
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for family in self.families() {
            if let Poll::Ready(done) = self.poll_family(family, cx, bufs, meta) {
                return Poll::Ready(done);
            }
        }
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        // IPv6, so that quinn accepts addresses of both families (IPv4 in its mapped form).
        Ok(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), self.port))
    }

    fn max_transmit_segments(&self) -> usize {
        self.families()
            .map(|family| family.state.max_gso_segments())
            .min()
            .unwrap_or(1)
    }

    fn max_receive_segments(&self) -> usize {
        self.families()
            .map(|family| family.state.gro_segments())
            .max()
            .unwrap_or(1)
    }

    fn may_fragment(&self) -> bool {
        self.families().any(|family| family.state.may_fragment())
    }
}

impl fmt::Debug for Mux {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Mux")
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

impl Family {
    fn bind(address: SocketAddr) -> Result<Self, TransportError> {
        let failed = |error: io::Error| TransportError::Bind {
            address: address.to_string(),
            reason: error.to_string(),
        };
        let domain = if address.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
        if address.is_ipv6() {
            socket.set_only_v6(true).map_err(failed)?;
        }
        socket.bind(&address.into()).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        // The kernel may give less; that only costs speed.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        let state = UdpSocketState::new((&socket).into()).map_err(failed)?;
        let io = UdpSocket::from_std(socket.into()).map_err(failed)?;
        Ok(Self { io, state })
    }
}

/// Waits until both families can send, whoever else waits too.
struct Poller {
    mux: Arc<Mux>,
    waiting: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mux = self.mux.clone();
        let waiting = self.waiting.get_or_insert_with(|| {
            Box::pin(async move {
                for family in mux.families() {
                    family.io.writable().await?;
                }
                Ok(())
            })
        });
        let done = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(done)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Poller")
    }
}

/// Takes out what is not QUIC, and answers how many packets that were, and what `keeps` refuses. A batch of
/// equal-sized packets (GRO) may be mixed.
pub(crate) fn keep_quic(buffer: &mut [u8], meta: &mut RecvMeta, keeps: impl Fn(&[u8]) -> bool) -> usize {
    let stride = meta.stride.max(1);
    let len = meta.len.min(buffer.len());
    let mut kept = 0;
    let mut foreign = 0;
    for start in (0..len).step_by(stride) {
        let end = start.saturating_add(stride).min(len);
        let packet = &buffer[start..end];
        if packet[0] & QUIC_BIT == 0 {
            foreign += 1;
            continue;
        }
        if !keeps(packet) {
            continue;
        }
        if kept != start {
            buffer.copy_within(start..end, kept);
        }
        kept += end - start;
    }
    meta.len = kept;
    foreign
}

/// The address as quinn wants it.
pub(crate) fn to_v6(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// The address as people write it.
pub(crate) fn from_v6(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

fn single(hosts: &[IpAddr], family: impl Fn(&IpAddr) -> bool) -> Result<Option<IpAddr>, TransportError> {
    let mut found = hosts.iter().copied().filter(family);
    let first = found.next();
    if found.next().is_some() || hosts.is_empty() {
        return Err(TransportError::Argument {
            name: "hosts",
            problem: "one address of each family is allowed, and at least one is needed".to_owned(),
        });
    }
    Ok(first)
}

fn internal(error: &io::Error) -> TransportError {
    TransportError::Internal(error.to_string())
}
