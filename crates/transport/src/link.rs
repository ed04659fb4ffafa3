//! A pair of nodes and the connections between them: one, or for a moment two after both dialled.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use espalier_core::identity::NODE_ID_BYTES;
use parking_lot::Mutex;
use quinn::{Connection, SendStream, VarInt, WriteError};

use crate::{
    datagram,
    error::TransportError,
    events::{Event, LinkId},
    flow::Flow,
    limits::{CONCURRENT_STREAMS, DRAIN_TIME, MANY_STREAMS, SIMULTANEOUS_TIME},
    mux::from_v6,
    serve,
    shared::Shared,
    stats::LinkStats,
    wire::TrafficClass,
};

/// One QUIC connection and how much goes over it.
pub(crate) struct Carrier {
    pub(crate) connection: Connection,
    pub(crate) outbound: bool,
    pub(crate) since: Instant,
    /// Known to both sides.
    pub(crate) is_confirmed: AtomicBool,
    /// Closed by this side because the other is not there.
    pub(crate) is_given_up: AtomicBool,
    pub(crate) flow: Arc<Flow>,
    active: AtomicUsize,
    is_widened: AtomicBool,
}

impl Carrier {
    /// Lets the peer open more streams once it uses many.
    fn widen(&self) {
        if self.active.load(Ordering::Relaxed) >= MANY_STREAMS
            && !self.is_widened.swap(true, Ordering::Relaxed)
        {
            let most = VarInt::from_u32(CONCURRENT_STREAMS);
            self.connection.set_max_concurrent_bi_streams(most);
        }
    }

    /// Why something on this connection ended.
    pub(crate) fn explain(&self, error: TransportError) -> TransportError {
        if error == TransportError::Closed && self.is_given_up.load(Ordering::Relaxed) {
            return TransportError::Lost("the peer did not confirm the handshake".to_owned());
        }
        error
    }

    /// As [`Flow::write`].
    pub(crate) async fn write(
        &self,
        class: TrafficClass,
        send: &mut SendStream,
        bytes: &mut Bytes,
    ) -> Result<usize, WriteError> {
        self.flow.write(&self.connection, class, send, bytes).await
    }

    /// As [`Flow::write_all`].
    pub(crate) async fn write_all(
        &self,
        class: TrafficClass,
        send: &mut SendStream,
        bytes: Bytes,
    ) -> Result<(), WriteError> {
        self.flow.write_all(&self.connection, class, send, bytes).await
    }

    /// Counts something that still needs this connection, until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(self.clone())
    }
}

/// Keeps a connection from being closed as superfluous.
pub(crate) struct Active(Arc<Carrier>);

impl Active {
    pub(crate) fn carrier(&self) -> &Arc<Carrier> {
        &self.0
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// This node and one peer.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) peer: [u8; NODE_ID_BYTES],
    /// New traffic takes the first; the others finish what they carry. Bounded by the connections of one peer.
    pub(crate) carriers: Mutex<Vec<Arc<Carrier>>>,
    /// Where the owner knows the peer to be.
    pub(crate) told_remote: Mutex<SocketAddr>,
}

impl Link {
    /// The connection for new traffic.
    pub(crate) fn carrier(&self) -> Result<Arc<Carrier>, TransportError> {
        let carriers = self.carriers.lock();
        carriers
            .first()
            .cloned()
            .ok_or_else(|| TransportError::Lost("no connection is left".to_owned()))
    }

    /// Whether `connection` is one of this link's.
    pub(crate) fn carries(&self, connection: &Connection) -> bool {
        let same = |carrier: &Arc<Carrier>| carrier.connection.stable_id() == connection.stable_id();
        self.carriers.lock().iter().any(same)
    }

    fn close(&self, code: VarInt) {
        for carrier in self.carriers.lock().iter() {
            carrier.connection.close(code, b"");
        }
    }

    pub(crate) fn send_datagram(&self, protocol: u16, body: &[u8]) -> datagram::Sending {
        self.carrier().map_or(datagram::Sending::Unfit, |carrier| {
            datagram::send(&carrier.connection, protocol, body)
        })
    }

    /// Takes in a further connection; answers the one that is now superfluous and for this side to close.
    fn add(&self, new: Arc<Carrier>, local_is_smaller: bool) -> Option<Arc<Carrier>> {
        let mut carriers = self.carriers.lock();
        let Some(old) = carriers.first() else {
            carriers.push(new);
            return None;
        };
        // The same side dialled twice, or long after: it has lost the old one. At the same time: both sides
        // keep what the node with the smaller id dialled.
        let new_wins = old.connection.close_reason().is_some()
            || old.outbound == new.outbound
            || old.since.elapsed() > SIMULTANEOUS_TIME
            || new.outbound == local_is_smaller;
        let loser = if new_wins { old.clone() } else { new.clone() };
        carriers.insert(usize::from(!new_wins), new);
        // Only who dialled closes, so that two sides with different views never close both.
        loser.outbound.then_some(loser)
    }

    /// Forgets a connection that has ended; answers the one for new traffic.
    fn remove(&self, carrier: &Arc<Carrier>) -> Option<Arc<Carrier>> {
        let mut carriers = self.carriers.lock();
        carriers.retain(|other| !Arc::ptr_eq(other, carrier));
        carriers.first().cloned()
    }

    /// The event that tells which connection new traffic takes, and to where.
    pub(crate) fn moved(&self, carrier: &Carrier) -> Event {
        let remote = from_v6(carrier.connection.remote_address());
        *self.told_remote.lock() = remote;
        Event::LinkMoved {
            link: self.id,
            remote,
            outbound: carrier.outbound,
        }
    }
}

/// All links of an endpoint.
#[derive(Default)]
pub(crate) struct Links {
    /// Bounded by the connections that the owner keeps.
    by_id: HashMap<LinkId, Arc<Link>>,
    by_peer: HashMap<[u8; NODE_ID_BYTES], LinkId>,
}

impl Links {
    pub(crate) fn get(&self, link: LinkId) -> Option<Arc<Link>> {
        self.by_id.get(&link).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.by_id.values().cloned().collect()
    }

    pub(crate) fn of_peer(&self, peer: &[u8; NODE_ID_BYTES]) -> Option<LinkId> {
        self.by_peer.get(peer).copied()
    }

    fn insert(&mut self, link: Arc<Link>) {
        self.by_peer.insert(link.peer, link.id);
        self.by_id.insert(link.id, link);
    }

    /// Packets that the connections of now have lost.
    pub(crate) fn packets_lost(&self) -> u64 {
        let lost = |link: &Arc<Link>| -> u64 {
            let carriers = link.carriers.lock();
            carriers
                .iter()
                .map(|carrier| LinkStats::of(&carrier.connection).packets_lost)
                .sum()
        };
        self.by_id.values().map(lost).sum()
    }

    /// Smoothed round-trip times, at most `most` of them.
    pub(crate) fn round_trips(&self, most: usize) -> Vec<Duration> {
        let carriers = self.by_id.values().filter_map(|link| link.carrier().ok());
        carriers
            .take(most)
            .map(|carrier| carrier.connection.rtt())
            .collect()
    }

    /// Whether it was there. A peer that dials again gets a link of its own.
    fn remove(&mut self, link: &Link) -> bool {
        if self.by_id.remove(&link.id).is_none() {
            return false;
        }
        self.by_peer.remove(&link.peer);
        true
    }
}

/// Takes a fresh connection into the link of its peer and serves what comes over it.
pub(crate) fn attach(
    shared: &Arc<Shared>,
    connection: Connection,
    flow: Arc<Flow>,
    peer: [u8; NODE_ID_BYTES],
    outbound: bool,
) -> (Arc<Link>, Arc<Carrier>) {
    let remote = from_v6(connection.remote_address());
    let carrier = Arc::new(Carrier {
        connection,
        flow,
        outbound,
        since: Instant::now(),
        is_confirmed: AtomicBool::new(false),
        is_given_up: AtomicBool::new(false),
        active: AtomicUsize::new(0),
        is_widened: AtomicBool::new(false),
    });
    let mut links = shared.links.lock();
    let known = links.of_peer(&peer).and_then(|id| links.get(id));
    let link = if let Some(link) = known {
        if let Some(loser) = link.add(carrier.clone(), shared.local_id < peer) {
            tokio::spawn(drain(loser));
        }
        if link.carrier().is_ok_and(|first| Arc::ptr_eq(&first, &carrier)) {
            shared.sink.push(link.moved(&carrier));
        }
        link
    } else {
        let link = Link {
            id: shared.number(),
            peer,
            carriers: Mutex::new(vec![carrier.clone()]),
            told_remote: Mutex::new(remote),
        };
        let link = Arc::new(link);
        links.insert(link.clone());
        shared.sink.push(Event::LinkUp {
            link: link.id,
            peer,
            remote,
            outbound,
        });
        link
    };
    drop(links);
    tokio::spawn(serve(shared.clone(), link.clone(), carrier.clone()));
    (link, carrier)
}

/// Ends the connections with a peer by this side's wish, and tells at once.
pub(crate) fn close(shared: &Shared, link: &Link, code: VarInt) {
    let mut links = shared.links.lock();
    if links.remove(link) {
        link.close(code);
        shared.sink.push(Event::LinkClosed {
            link: link.id,
            reason: TransportError::Closed,
        });
    }
}

/// Takes streams and datagrams until the connection ends.
async fn serve(shared: Arc<Shared>, link: Arc<Link>, carrier: Arc<Carrier>) {
    let datagrams = tokio::spawn(datagram::take(
        shared.clone(),
        link.id,
        carrier.connection.clone(),
    ));
    let reason = loop {
        match carrier.connection.accept_bi().await {
            Ok((send, receive)) => {
                let (shared, link, active) = (shared.clone(), link.clone(), carrier.enter());
                tokio::spawn(serve::serve_stream(shared, link, active, send, receive));
                carrier.widen();
            }
            Err(error) => break error,
        }
    };
    datagrams.abort();
    let mut links = shared.links.lock();
    shared.counters.ended(&LinkStats::of(&carrier.connection));
    if let Some(next) = link.remove(&carrier) {
        shared.sink.push(link.moved(&next));
    } else if links.remove(&link) {
        shared.sink.push(Event::LinkClosed {
            link: link.id,
            reason: carrier.explain(reason.into()),
        });
    }
}

/// Closes a superfluous connection once nothing needs it.
async fn drain(carrier: Arc<Carrier>) {
    loop {
        tokio::time::sleep(DRAIN_TIME).await;
        if carrier.connection.close_reason().is_some() {
            return;
        }
        if carrier.active.load(Ordering::Relaxed) == 0 {
            carrier
                .connection
                .close(VarInt::from_u32(0), b"one connection is enough");
            return;
        }
    }
}
