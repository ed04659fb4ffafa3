//! The endpoint of a node: one thread, one UDP port, all connections.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering, mpsc as blocking},
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use espalier_core::{
    identity::{NODE_ID_BYTES, node_id},
    sign::SigningKey,
};
use parking_lot::Mutex;
use quinn::VarInt;
use tokio::sync::mpsc;

use crate::{
    counters::{Counters, Direction, Refused},
    datagram::Sending,
    driver,
    error::TransportError,
    events::{EventSink, LinkId, OperationId, RequestId, StreamId},
    limits::Limits,
    shared::Shared,
    stats::LinkStats,
    stream::{self, Read},
    tls::{self, Negotiated},
    wire::{Refusal, TrafficClass},
};

#[cfg(doc)]
use crate::events::Event;

/// How to open an endpoint.
pub struct EndpointOptions {
    /// Proves this node's id.
    pub key: Arc<SigningKey>,
    /// Addresses to bind, at most one of each family.
    pub hosts: Vec<IpAddr>,
    /// UDP port; 0 takes a free one.
    pub port: u16,
    /// Whether others may dial this node.
    pub accepts: bool,
    /// Whether sessions are remembered, on both sides, so that the next handshake is short.
    pub resumes: bool,
}

/// A request as it is sent.
pub struct Question {
    /// Named in the event that ends it.
    pub operation: OperationId,
    /// Header and body: kind 1, or 3 for what may be answered more than once; traffic class; protocol (u16,
    /// little-endian); body.
    pub message: Bytes,
    /// Until the answer is there.
    pub time: Duration,
    /// The longest answer that is taken.
    pub max_response_bytes: usize,
}

/// Something that the owner asks for.
pub enum Command {
    /// Ends in [`Event::Dialled`].
    Dial {
        /// Named in the event.
        operation: OperationId,
        /// The id that the peer has to prove; any when absent.
        expected: Option<[u8; NODE_ID_BYTES]>,
        /// Where it may be.
        addresses: Vec<SocketAddr>,
        /// For all attempts together.
        time: Duration,
        /// Goes with the first flight when a session can be resumed and the question may be asked twice, else as
        /// soon as the handshake is done. It ends as a request of its own.
        first: Option<Question>,
    },
    /// Ends in [`Event::Answered`].
    Request {
        /// Whom to ask.
        link: LinkId,
        /// What.
        question: Question,
    },
    /// Answers [`Event::Request`]; ignored when nobody waits any more.
    Answer {
        /// The request.
        request: RequestId,
        /// The body, or why there is none.
        answer: Result<Bytes, Refusal>,
    },
    /// Ends in [`Event::StreamDone`].
    OpenStream {
        /// Named in the event.
        operation: OperationId,
        /// With whom.
        link: LinkId,
        /// How urgent.
        class: TrafficClass,
        /// What it is about.
        protocol: u16,
        /// Until it may be written to.
        time: Duration,
    },
    /// Ends an operation; its event says so, unless it has ended already.
    Cancel {
        /// The operation.
        operation: OperationId,
    },
    /// Panics.
    #[cfg(feature = "test-hooks")]
    Panic,
    /// Ends all connections with a peer.
    CloseLink {
        /// The link.
        link: LinkId,
        /// Told to the peer.
        code: VarInt,
    },
}

/// A running endpoint, used from any thread.
pub struct Endpoint {
    shared: Arc<Shared>,
    /// `None` once closing.
    commands: Mutex<Option<mpsc::UnboundedSender<Vec<Command>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    addresses: Vec<SocketAddr>,
    negotiated: Negotiated,
}

impl Endpoint {
    /// Binds the port and starts the thread.
    ///
    /// # Errors
    ///
    /// [`TransportError::Bind`] for an address that is taken or not this machine's,
    /// [`TransportError::Argument`] for a wrong set of hosts.
    pub fn open(options: EndpointOptions, sink: Arc<dyn EventSink>) -> Result<Self, TransportError> {
        Self::open_within(Limits::default(), options, sink)
    }

    /// As [`Self::open`], within other limits.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_within(
        limits: Limits,
        options: EndpointOptions,
        sink: Arc<dyn EventSink>,
    ) -> Result<Self, TransportError> {
        let tls = tls::configs(&options.key, options.resumes)?;
        let negotiated = tls.negotiated.clone();
        let shared = Arc::new(Shared::new(node_id(options.key.public_key()), limits, sink));
        let (commands, inbox) = mpsc::unbounded_channel();
        let (tell, bound) = blocking::channel();
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("espalier-net".to_owned())
            .spawn(move || driver::run(&options, tls, &of_thread, inbox, &tell))
            .map_err(|error| TransportError::Internal(format!("no thread could be started: {error}")))?;
        let ended = || TransportError::Internal("the network thread ended at its start".to_owned());
        let addresses = bound.recv().map_err(|_| ended())??;
        Ok(Self {
            shared,
            commands: Mutex::new(Some(commands)),
            thread: Mutex::new(Some(thread)),
            addresses,
            negotiated,
        })
    }

    /// The addresses that were bound.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What every handshake of this endpoint negotiates.
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Takes a batch of commands in order; one wake-up serves them all.
    ///
    /// # Errors
    ///
    /// [`TransportError::Closed`] once the endpoint closes.
    pub fn submit(&self, batch: Vec<Command>) -> Result<(), TransportError> {
        let commands = self.commands.lock();
        let commands = commands.as_ref().ok_or(TransportError::Closed)?;
        commands.send(batch).map_err(|_| TransportError::Closed)
    }

    /// Copies what a stream has into `target`.
    ///
    /// # Errors
    ///
    /// [`TransportError::Reset`], [`TransportError::Lost`], [`TransportError::Closed`].
    pub fn read(&self, stream: StreamId, target: &mut [u8]) -> Result<Read, TransportError> {
        self.stream(stream)?.read(target)
    }

    /// Takes a copy of `bytes` for a stream; true when the owner should wait for [`Event::StreamWritable`].
    ///
    /// # Errors
    ///
    /// As [`Self::read`], and [`TransportError::Limit`] when too much waits already.
    pub fn write(&self, stream: StreamId, bytes: &[u8]) -> Result<bool, TransportError> {
        self.stream(stream)?.write(bytes)
    }

    /// Ends the write side of a stream; [`Event::StreamDone`] follows.
    ///
    /// # Errors
    ///
    /// [`TransportError::Closed`] when there is no such stream.
    pub fn finish(&self, stream: StreamId, operation: OperationId) -> Result<(), TransportError> {
        self.stream(stream)?.finish(operation);
        Ok(())
    }

    /// Gives up a stream and forgets it.
    pub fn reset(&self, stream: StreamId, code: VarInt) {
        if let Some(stream) = self.shared.streams.lock().remove(&stream) {
            stream.reset(code);
        }
    }

    /// Forgets a stream that has ended in both directions.
    pub fn release(&self, stream: StreamId) {
        self.shared.streams.lock().remove(&stream);
    }

    /// Sends a datagram; false when the path can't take it, because it is too long or too much waits already.
    pub fn send_datagram(&self, link: LinkId, protocol: u16, body: &[u8]) -> bool {
        let link = self.shared.links.lock().get(link);
        let sending = link.map_or(Sending::Unfit, |link| link.send_datagram(protocol, body));
        match sending {
            Sending::Taken => self.shared.counters.datagram(Direction::Outbound, body.len()),
            Sending::Full => self.shared.counters.refuse(Refused::DatagramBuffer),
            Sending::Unfit => {}
        }
        sending == Sending::Taken
    }

    /// What is known of a link.
    ///
    /// # Errors
    ///
    /// [`TransportError::Lost`] when it is gone.
    pub fn stats(&self, link: LinkId) -> Result<LinkStats, TransportError> {
        let link = self.shared.links.lock().get(link);
        let link = link.ok_or_else(|| TransportError::Lost("no connection is left".to_owned()))?;
        Ok(LinkStats::of(&link.carrier()?.connection))
    }

    /// Packets so far that are not QUIC and that nothing here speaks.
    pub fn foreign_packets(&self) -> u64 {
        self.shared.counters.foreign_packets()
    }

    /// What was done and refused so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// What was counted so far and how much of everything there is, each with its name: a family, then its
    /// labels, with a point between. Counts begin with `count.`, the others with `level.`.
    pub fn figures(&self) -> Vec<(String, u64)> {
        let lost_alive = self.shared.links.lock().packets_lost();
        let counts = self.shared.counters.list(lost_alive);
        let counts = counts
            .into_iter()
            .map(|(name, value)| (format!("count.{name}"), value));
        let levels = [
            ("handshakes", self.shared.places.len()),
            ("operations", self.shared.operations.lock().len()),
            ("requests_served", self.shared.requests.lock().len()),
            ("streams", self.shared.streams.lock().len()),
        ];
        let levels = levels.map(|(name, value)| (format!("level.{name}"), value as u64));
        counts.chain(levels).collect()
    }

    /// Smoothed round-trip times of the links, at most `most` of them.
    pub fn round_trips(&self, most: usize) -> Vec<Duration> {
        self.shared.links.lock().round_trips(most)
    }

    /// Starts to close; [`Event::Closed`] is the last event. May be called again.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.commands.lock().take();
    }

    /// Closes and waits until the thread has ended.
    pub fn close_and_wait(&self) {
        self.close();
        if let Some(thread) = self.thread.lock().take() {
            // It ends by itself within `CLOSE_TIME`; a panic in it has been dealt with there.
            let _ = thread.join();
        }
    }

    fn stream(&self, stream: StreamId) -> Result<Arc<stream::Stream>, TransportError> {
        self.shared
            .streams
            .lock()
            .get(&stream)
            .cloned()
            .ok_or(TransportError::Closed)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.close();
    }
}
