//! Clients that begin handshakes and never end them.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use espalier_core::sign::SigningKey;
use espalier_transport::tls;
use parking_lot::Mutex;
use quinn::{
    AsyncUdpSocket, ClientConfig, Connecting, Endpoint, EndpointConfig, Runtime as _, TokioRuntime,
    UdpPoller,
    udp::{RecvMeta, Transmit},
};
use tokio::runtime::Runtime;

/// What such clients hear and say.
#[derive(Clone)]
pub enum Ears {
    /// They hear nothing.
    None,
    /// They prove their address when they are asked to, and hear nothing else.
    ForRetries,
    /// What they would send is kept instead.
    Recorded(Arc<Mutex<Vec<Vec<u8>>>>),
}

/// Many of them behind one socket.
pub struct DeafClients {
    runtime: Runtime,
    endpoint: Endpoint,
    config: ClientConfig,
    waiting: Vec<Connecting>,
}

impl DeafClients {
    pub fn start(seed: u8, host: IpAddr, ears: Ears) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let key = Arc::new(SigningKey::from_seed(&[seed; 32]).unwrap());
        let config = tls::configs(&key, false).unwrap().client;
        let entered = runtime.enter();
        let socket = UdpSocket::bind(SocketAddr::new(host, 0)).unwrap();
        let inner = TokioRuntime.wrap_udp_socket(socket).unwrap();
        let endpoint = Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            None,
            Arc::new(DeafSocket { inner, ears }),
            Arc::new(TokioRuntime),
        )
        .unwrap();
        drop(entered);
        Self {
            runtime,
            endpoint,
            config,
            waiting: Vec::new(),
        }
    }

    /// Begins `count` handshakes that stay under way.
    pub fn dial(&mut self, server: SocketAddr, count: usize) {
        let _entered = self.runtime.enter();
        for _ in 0..count {
            let connecting = self
                .endpoint
                .connect_with(self.config.clone(), server, "any-node.invalid");
            self.waiting.push(connecting.unwrap());
        }
    }
}

/// The first packets of `count` clients, two of each.
pub fn hellos(server: SocketAddr, count: usize) -> Vec<Vec<u8>> {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let mut clients = DeafClients::start(240, Ipv4Addr::LOCALHOST.into(), Ears::Recorded(recorded.clone()));
    clients.dial(server, count);
    let begun = std::time::Instant::now();
    while recorded.lock().len() < 2 * count {
        assert!(
            begun.elapsed().as_secs() < 60,
            "{} packets",
            recorded.lock().len()
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(clients);
    std::mem::take(&mut recorded.lock())
}

struct DeafSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    ears: Ears,
}

impl AsyncUdpSocket for DeafSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Ears::Recorded(recorded) = &self.ears else {
            return self.inner.try_send(transmit);
        };
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        let packets = transmit.contents.chunks(size).map(<[u8]>::to_vec);
        recorded.lock().extend(packets);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = received {
            for (buffer, meta) in bufs.iter().zip(meta.iter_mut()).take(count) {
                // RFC 9000 §17.2.5. Packets that come as one batch have one size: all are of this kind.
                let is_retry = buffer[0] & 0xf0 == 0xf0;
                if !(is_retry && matches!(self.ears, Ears::ForRetries)) {
                    meta.len = 0;
                }
            }
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl fmt::Debug for DeafSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DeafSocket")
    }
}
