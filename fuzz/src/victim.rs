//! An endpoint of our own configuration with its connections, in a time of its own.

use std::{
    collections::HashMap,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use espalier_core::sign::SigningKey;
use espalier_transport::fuzz;
use quinn::{EndpointConfig, ServerConfig, crypto};
use quinn_proto::{Connection, ConnectionHandle, DatagramEvent, Endpoint};

/// Where it is attacked; what is sent back goes nowhere, and is counted.
pub(crate) struct Victim {
    endpoint: Endpoint,
    /// Bounded by the datagrams of one input.
    pub(crate) connections: HashMap<ConnectionHandle, Connection>,
    now: Instant,
    pub(crate) received: usize,
    pub(crate) sent: usize,
    /// The first datagram of an answer.
    pub(crate) first_answer: Vec<u8>,
}

/// What every [`Victim`] shares.
pub(crate) struct Configs {
    endpoint: Arc<EndpointConfig>,
    server: Arc<ServerConfig>,
}

impl Configs {
    /// Ours, but for the sessions when others are given.
    pub(crate) fn new(sessions: Option<Arc<dyn crypto::ServerConfig>>) -> Self {
        let key = key();
        let ours = || {
            fuzz::sessions(&key)
                .expect("the library takes our configuration")
                .1
        };
        let mut server = ServerConfig::with_crypto(sessions.unwrap_or_else(ours));
        server.transport_config(fuzz::public_transport_config(false));
        let endpoint = fuzz::endpoint_config(&key).expect("our own configuration");
        Self {
            endpoint: Arc::new(endpoint),
            server: Arc::new(server),
        }
    }
}

impl Victim {
    pub(crate) fn new(configs: &Configs) -> Self {
        let server = Some(configs.server.clone());
        Self {
            endpoint: Endpoint::new(configs.endpoint.clone(), server, false, Some([1; 32])),
            connections: HashMap::new(),
            now: Instant::now(),
            received: 0,
            sent: 0,
            first_answer: Vec::new(),
        }
    }

    /// One datagram, and everything that it leads to at once.
    pub(crate) fn take(&mut self, datagram: &[u8]) {
        self.received += datagram.len();
        self.now += Duration::from_millis(1);
        let from = SocketAddr::from((Ipv6Addr::LOCALHOST, 4433));
        let mut answer = Vec::new();
        match self
            .endpoint
            .handle(self.now, from, None, None, BytesMut::from(datagram), &mut answer)
        {
            Some(DatagramEvent::Response(transmit)) => self.sent += transmit.size,
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(connection) = self.connections.get_mut(&handle) {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                match self.endpoint.accept(incoming, self.now, &mut answer, None) {
                    Ok((handle, connection)) => {
                        self.connections.insert(handle, connection);
                    }
                    Err(refused) => self.sent += refused.response.map_or(0, |transmit| transmit.size),
                }
            }
            None => {}
        }
        self.send();
    }

    /// To the next timer of any connection; whether there was one.
    pub(crate) fn let_time_pass(&mut self) -> bool {
        let timeouts = self.connections.values_mut().filter_map(Connection::poll_timeout);
        let Some(next) = timeouts.min() else { return false };
        self.now = self.now.max(next);
        for connection in self.connections.values_mut() {
            connection.handle_timeout(self.now);
        }
        self.send();
        true
    }

    /// Connections that the endpoint keeps.
    pub(crate) fn open_connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    pub(crate) fn send(&mut self) {
        let mut buffer = Vec::new();
        for (handle, connection) in &mut self.connections {
            while let Some(event) = connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(*handle, event) {
                    connection.handle_event(event);
                }
            }
            while let Some(transmit) = connection.poll_transmit(self.now, 10, &mut buffer) {
                self.sent += transmit.size;
                if self.first_answer.is_empty() {
                    self.first_answer.clone_from(&buffer);
                }
                buffer.clear();
            }
            while connection.poll().is_some() {}
        }
        self.connections.retain(|_, connection| !connection.is_drained());
    }
}

/// The key of every victim.
pub(crate) fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed(&[3; 32]).expect("every seed has a key"))
}
