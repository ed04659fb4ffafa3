//! A node for tests: an endpoint whose events arrive in a channel.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

pub mod conditions;
pub mod deaf;
pub mod peer;
pub mod proxy;
pub mod server;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use espalier_core::{identity::node_id, sign::SigningKey};
use espalier_transport::{
    TrafficClass,
    endpoint::{Command, Endpoint, EndpointOptions, Question},
    error::TransportError,
    events::{Event, EventSink},
};
use parking_lot::Mutex;

const PATIENCE: Duration = Duration::from_secs(20);

struct ChannelSink(Mutex<mpsc::Sender<Event>>);

impl EventSink for ChannelSink {
    fn push(&self, event: Event) {
        // A test that has ended no longer listens.
        let _ = self.0.lock().send(event);
    }

    fn waiting_bytes(&self) -> usize {
        0
    }
}

pub struct TestNode {
    pub endpoint: Endpoint,
    pub id: [u8; 32],
    events: Mutex<mpsc::Receiver<Event>>,
}

impl TestNode {
    pub fn start(seed: u8) -> Self {
        Self::start_on(seed, 0)
    }

    pub fn start_on(seed: u8, port: u16) -> Self {
        Self::start_through(seed, port, |events| Arc::new(ChannelSink(Mutex::new(events))))
    }

    /// With a sink that hands its events on.
    pub fn start_through(
        seed: u8,
        port: u16,
        sink: impl FnOnce(mpsc::Sender<Event>) -> Arc<dyn EventSink>,
    ) -> Self {
        let key = Arc::new(SigningKey::from_seed(&[seed; 32]).unwrap());
        let id = node_id(key.public_key());
        let (sender, events) = mpsc::channel();
        let options = EndpointOptions {
            key,
            hosts: vec![Ipv4Addr::LOCALHOST.into()],
            port,
            accepts: true,
            resumes: true,
        };
        let endpoint = Endpoint::open(options, sink(sender)).unwrap();
        Self {
            endpoint,
            id,
            events: Mutex::new(events),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.endpoint.addresses()[0]
    }

    pub fn dial(&self, expected: Option<[u8; 32]>, address: SocketAddr) -> Result<u32, TransportError> {
        self.start_dial(expected, address);
        self.wait(|event| match event {
            Event::Dialled { operation: 1, result } => Some(result.clone()),
            _ => None,
        })
    }

    pub fn start_dial(&self, expected: Option<[u8; 32]>, address: SocketAddr) {
        let time = Duration::from_secs(10);
        let dial = Command::Dial {
            operation: 1,
            expected,
            addresses: vec![address],
            time,
            first: None,
        };
        self.endpoint.submit(vec![dial]).unwrap();
    }

    pub fn ask(&self, link: u32, body: &[u8]) -> Result<Bytes, TransportError> {
        self.ask_within(link, body, Duration::from_secs(10))
    }

    pub fn ask_within(&self, link: u32, body: &[u8], time: Duration) -> Result<Bytes, TransportError> {
        self.start_ask(link, body, time);
        self.wait(|event| match event {
            Event::Answered { operation: 2, result } => Some(result.clone()),
            _ => None,
        })
    }

    pub fn start_ask(&self, link: u32, body: &[u8], time: Duration) {
        let mut message = BytesMut::new();
        message.put_slice(&[1, 1, 7, 0]);
        message.put_slice(body);
        let message = message.freeze();
        let request = Command::Request {
            link,
            question: Question {
                operation: 2,
                message,
                time,
                max_response_bytes: 1 << 20,
            },
        };
        self.endpoint.submit(vec![request]).unwrap();
    }

    pub fn open_stream(&self, link: u32) -> Result<u32, TransportError> {
        let class = TrafficClass::new(4).unwrap();
        let time = Duration::from_secs(10);
        self.endpoint
            .submit(vec![Command::OpenStream {
                operation: 3,
                link,
                class,
                protocol: 9,
                time,
            }])
            .unwrap();
        self.wait(|event| match event {
            Event::StreamDone { operation: 3, result } => Some(result.clone()),
            _ => None,
        })
    }

    /// The next event, however long it takes.
    pub fn next(&self) -> Event {
        self.events.lock().recv().expect("`Closed` ends whoever listens")
    }

    /// Waits for an event that `find` takes something from; others before it are dropped.
    pub fn wait<T>(&self, find: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            let event = self
                .events
                .lock()
                .recv_timeout(PATIENCE)
                .expect("the event comes in time");
            if let Some(found) = find(&event) {
                return found;
            }
        }
    }

    /// Answers the next request with its own body.
    pub fn echo_one(&self) -> u16 {
        let (request, protocol, body) = self.wait(|event| match event {
            Event::Request {
                request,
                protocol,
                body,
                ..
            } => Some((*request, *protocol, body.clone())),
            _ => None,
        });
        self.endpoint
            .submit(vec![Command::Answer {
                request,
                answer: Ok(body),
            }])
            .unwrap();
        protocol
    }

    /// Everything that waits now.
    pub fn drain(&self, time: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        while let Ok(event) = self.events.lock().recv_timeout(time) {
            events.push(event);
        }
        events
    }
}

/// More of everything, by `ESPALIER_LONG=1`.
pub fn is_long() -> bool {
    std::env::var_os("ESPALIER_LONG").is_some()
}

/// The figure of this name.
pub fn figure(endpoint: &Endpoint, name: &str) -> u64 {
    let figures = endpoint.figures();
    let found = figures.iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("there is no figure {name}")).1
}

/// Waits until it is so; what a test waits for comes soon, whatever else the machine does.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a UDP port of loopback can be bound.
pub fn is_free(address: SocketAddr) -> bool {
    std::net::UdpSocket::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())).is_ok()
}

/// A sink that takes no notice.
pub fn no_sink() -> Arc<dyn EventSink> {
    Arc::new(ChannelSink(Mutex::new(mpsc::channel().0)))
}
