//! The thread of an endpoint: it binds the port, obeys the commands of the owner, and closes.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering, mpsc as blocking},
    time::Duration,
};

use espalier_core::sign::SigningKey;
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig, TokioRuntime, VarInt};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use crate::{
    accept,
    dial::{Dial, Dialling},
    endpoint::{Command, EndpointOptions, Question},
    error::TransportError,
    events::{Event, LinkId},
    limits::{CLOSE_TIME, LARGEST_PACKET_BYTES, MAX_DIAL_ADDRESSES, PerPath, transport_config},
    link,
    mux::Mux,
    pump,
    request::{self, Target},
    rounds,
    shared::Shared,
    tls::{self, TlsConfigs},
};

/// The life of the thread: bind, tell, serve, close. Nothing of it is left when `Closed` is pushed.
pub(crate) fn run(
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
                    let opened = timeout(time, pump::open(shared, link?, class, protocol)).await;
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
