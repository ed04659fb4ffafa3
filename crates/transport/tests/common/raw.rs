//! A peer that proves an id like any other and then does as it likes: plain quinn, driven by the test.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use espalier_core::sign::SigningKey;
use espalier_transport::tls;
use quinn::{Connection, RecvStream, SendStream, TransportConfig, VarInt};
use tokio::runtime::Runtime;

pub const REQUEST: [u8; 4] = [1, 1, 7, 0];
pub const STREAM: [u8; 4] = [2, 4, 9, 0];

pub struct RawPeer {
    pub runtime: Runtime,
    pub endpoint: quinn::Endpoint,
    config: quinn::ClientConfig,
}

impl RawPeer {
    /// `shape` sets what the peer tells of its own limits.
    pub fn start(seed: u8, shape: impl FnOnce(&mut TransportConfig)) -> Self {
        let key = Arc::new(SigningKey::from_seed(&[seed; 32]).unwrap());
        let mut config = tls::configs(&key, false).unwrap().client;
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(VarInt::from_u32(60_000).into()))
            .keep_alive_interval(Some(Duration::from_secs(2)));
        shape(&mut transport);
        config.transport_config(Arc::new(transport));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let endpoint = {
            let _inside = runtime.enter();
            quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
        };
        Self {
            runtime,
            endpoint,
            config,
        }
    }

    /// Begins a handshake; dropping what this answers ends it.
    pub fn begin(&self, to: SocketAddr) -> quinn::Connecting {
        let _inside = self.runtime.enter();
        self.endpoint
            .connect_with(self.config.clone(), to, "any-node.invalid")
            .unwrap()
    }

    pub fn connect(&self, to: SocketAddr) -> Connection {
        let connecting = self.begin(to);
        self.runtime.block_on(connecting).unwrap()
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Opens a stream and writes `first`.
    pub fn open(&self, connection: &Connection, first: &[u8]) -> (SendStream, RecvStream) {
        self.run(async {
            let (mut send, receive) = connection.open_bi().await.unwrap();
            send.write_all(first).await.unwrap();
            (send, receive)
        })
    }
}
