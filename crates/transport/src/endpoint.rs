//! The endpoint of a node: one thread, one UDP port, all connections.

use std::{
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
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
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig, TokioRuntime, VarInt};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use crate::{
    accept,
    counters::{Counters, Direction},
    dial::{Dial, Dialling},
    error::TransportError,
    events::{Event, EventSink, LinkId, OperationId, RequestId, StreamId},
    limits::{CLOSE_TIME, LARGEST_PACKET_BYTES, Limits, MAX_DIAL_ADDRESSES, PerPath, transport_config},
    link,
    mux::Mux,
    request::{self, Target},
    rounds,
    shared::Shared,
    stats::LinkStats,
    stream::{self, Read},
    tls::{self, Negotiated, TlsConfigs},
    wire::{Refusal, TrafficClass},
};

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
            .spawn(move || run_thread(&options, tls, &of_thread, inbox, &tell))
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

    /// Sends a datagram; false when the path can't take it.
    pub fn send_datagram(&self, link: LinkId, protocol: u16, body: &[u8]) -> bool {
        let link = self.shared.links.lock().get(link);
        let sent = link.is_some_and(|link| link.send_datagram(protocol, body));
        if sent {
            self.shared.counters.datagram(Direction::Outbound, body.len());
        }
        sent
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

/// The life of the thread: bind, tell, serve, close. Nothing of it is left when `Closed` is pushed.
fn run_thread(
    options: &EndpointOptions,
    tls: TlsConfigs,
    shared: &Arc<Shared>,
    inbox: mpsc::UnboundedReceiver<Vec<Command>>,
    tell: &blocking::Sender<Result<Vec<SocketAddr>, TransportError>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = tell.send(Err(TransportError::Internal(format!(
                "no runtime could be started: {error}"
            ))));
            return;
        }
    };
    let opened = runtime.block_on(async { Driver::open(options, tls, shared.clone()) });
    match opened {
        Ok(driver) => {
            let _ = tell.send(Ok(driver.mux.addresses()));
            // A fault of the driver ends the endpoint; whoever waits for it hears so.
            let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(driver.run(inbox))));
            if ended.is_err() {
                shared.closing.store(true, Ordering::Relaxed);
            }
            // Dropping the runtime drops every task: the socket goes, and what waits is told.
            drop(runtime);
            shared.streams.lock().clear();
            shared.sink.push(Event::Closed);
        }
        Err(error) => {
            let _ = tell.send(Err(error));
        }
    }
}

struct Driver {
    shared: Arc<Shared>,
    endpoint: quinn::Endpoint,
    mux: Arc<Mux>,
    clients: PerPath<quinn::ClientConfig>,
    servers: PerPath<Arc<quinn::ServerConfig>>,
}

impl Driver {
    fn open(options: &EndpointOptions, tls: TlsConfigs, shared: Arc<Shared>) -> Result<Self, TransportError> {
        let mux = Arc::new(Mux::bind(&options.hosts, options.port, shared.counters.clone())?);
        let mut server = tls.server;
        server.max_incoming(shared.limits.handshakes);
        let config = endpoint_config(&options.key)?;
        let servers = PerPath::new(|path| {
            let mut server = server.clone();
            server.transport_config(transport_config(false, path));
            Arc::new(server)
        });
        let clients = PerPath::new(|path| {
            let mut client = tls.client.clone();
            client.transport_config(transport_config(true, path));
            client
        });
        let server = options.accepts.then_some(server);
        let endpoint =
            quinn::Endpoint::new_with_abstract_socket(config, server, mux.clone(), Arc::new(TokioRuntime))
                .map_err(|error| TransportError::Internal(error.to_string()))?;
        Ok(Self {
            shared,
            endpoint,
            mux,
            clients,
            servers,
        })
    }

    async fn run(self, mut inbox: mpsc::UnboundedReceiver<Vec<Command>>) {
        let accepting = tokio::spawn(accept::accept(
            self.shared.clone(),
            self.endpoint.clone(),
            self.servers.clone(),
        ));
        let watching = tokio::spawn(rounds::make(self.shared.clone()));
        while let Some(batch) = inbox.recv().await {
            for command in batch {
                self.obey(command);
            }
        }
        accepting.abort();
        watching.abort();
        self.endpoint.close(VarInt::from_u32(0), b"the node is closing");
        // Long enough for the goodbyes to leave; what is not acknowledged then is given up.
        let _ = timeout(CLOSE_TIME, self.endpoint.wait_idle()).await;
    }

    fn obey(&self, command: Command) {
        match command {
            Command::Dial {
                operation,
                expected,
                addresses,
                time,
                first,
            } => {
                let addresses = addresses
                    .into_iter()
                    .filter(|address| self.mux.reaches(*address))
                    .take(MAX_DIAL_ADDRESSES)
                    .inspect(|address| self.mux.dials(*address))
                    .collect();
                let (endpoint, configs) = (self.endpoint.clone(), self.clients.clone());
                let (progress, dialling) = watch::channel(Dialling::Started);
                let dial = Dial {
                    endpoint,
                    configs,
                    expected,
                    addresses,
                    time,
                    progress: Arc::new(progress),
                };
                let outcome = |operation, result| Event::Dialled { operation, result };
                self.shared.run(operation, outcome, dial.run(self.shared.clone()));
                if let Some(question) = first {
                    self.ask(question, Ok(Target::Dial(dialling)));
                }
            }
            Command::Request { link, question } => self.ask(question, self.link(link).map(Target::Link)),
            Command::Answer { request, answer } => {
                let waiting = self.shared.requests.lock().remove(&request);
                if let Some(waiting) = waiting {
                    // It fails only when the peer has given up meanwhile.
                    let _ = waiting.send(answer);
                }
            }
            Command::OpenStream {
                operation,
                link,
                class,
                protocol,
                time,
            } => {
                let outcome = |operation, result| Event::StreamDone { operation, result };
                let shared = self.shared.clone();
                let link = self.link(link);
                self.shared.run(operation, outcome, async move {
                    let opened = timeout(time, stream::open(shared, link?, class, protocol)).await;
                    opened.unwrap_or(Err(TransportError::Timeout))
                });
            }
            Command::Cancel { operation } => {
                let running = self.shared.operations.lock().get(&operation).cloned();
                if let Some(running) = running {
                    running.abort();
                }
            }
            #[cfg(feature = "test-hooks")]
            #[allow(clippy::panic)]
            Command::Panic => panic!("on purpose"),
            Command::CloseLink { link, code } => {
                if let Ok(link) = self.link(link) {
                    link::close(&self.shared, &link, code);
                }
            }
        }
    }

    fn link(&self, link: LinkId) -> Result<Arc<link::Link>, TransportError> {
        let found = self.shared.links.lock().get(link);
        found.ok_or_else(|| TransportError::Lost("no connection is left".to_owned()))
    }

    fn ask(&self, question: Question, target: Result<Target, TransportError>) {
        let outcome = |operation, result| Event::Answered { operation, result };
        let shared = self.shared.clone();
        self.shared.run(question.operation, outcome, async move {
            request::ask(shared, target?, question).await
        });
    }
}

/// The key comes from the identity, so that a node that was killed and started again on its port can tell the
/// peers of its former life at once that their connections are gone (RFC 9000 §10.3).
pub(crate) fn endpoint_config(key: &SigningKey) -> Result<EndpointConfig, TransportError> {
    let derived = espalier_core::hash::derive_key("espalier 2026-11 stateless reset key v1", key.seed());
    let mut config = EndpointConfig::new(tls::reset_key(&derived));
    config
        .cid_generator(|| Box::new(RandomIds))
        // Packets with the bit clear are not QUIC: the mux takes them.
        .grease_quic_bit(false)
        .max_udp_payload_size(LARGEST_PACKET_BYTES)
        .map_err(|error| TransportError::Internal(error.to_string()))?;
    Ok(config)
}

/// Connection ids without a mark of this process. quinn's own drop what another process issued, and with it
/// the chance to answer with a reset.
struct RandomIds;

const CONNECTION_ID_BYTES: usize = 8;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let bytes = espalier_core::random::bytes::<CONNECTION_ID_BYTES>();
        ConnectionId::new(&bytes.expect("the system gave randomness for the keys of this endpoint"))
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
