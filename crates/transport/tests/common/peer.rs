//! A node whose calls block until they are done, from any thread, and that answers requests by itself.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use espalier_core::{identity::node_id, sign::SigningKey};
use espalier_transport::{
    Read, TrafficClass, VarInt,
    endpoint::{Command, Endpoint, EndpointOptions, Question},
    error::TransportError,
    events::{Event, EventSink, LinkId, OperationId, StreamId},
    limits::Limits,
};
use parking_lot::{Condvar, Mutex};

/// Longer than anything here takes by itself.
const PATIENCE: Duration = Duration::from_mins(1);
/// Header: request, class, protocol 7.
const REQUEST: u8 = 1;

type Outcome = (Result<Bytes, TransportError>, Instant);

/// What has happened to a node. Bounded by what a test does.
#[derive(Default)]
pub struct Happened {
    pub links: Vec<LinkId>,
    /// Where to.
    pub moved: Vec<SocketAddr>,
    pub closed: Vec<(LinkId, TransportError)>,
    pub requests: Vec<Bytes>,
    pub cancelled: usize,
    pub datagrams: Vec<Bytes>,
    opened: VecDeque<StreamId>,
    /// Links and streams are written as their number in four bytes.
    done: HashMap<OperationId, Outcome>,
    readable: HashSet<StreamId>,
    writable: HashSet<StreamId>,
}

#[derive(Default)]
struct Inbox {
    endpoint: OnceLock<Weak<Endpoint>>,
    happened: Mutex<Happened>,
    changed: Condvar,
}

impl EventSink for Inbox {
    fn push(&self, event: Event) {
        let mut happened = self.happened.lock();
        let now = Instant::now();
        match event {
            Event::LinkUp { link, .. } => happened.links.push(link),
            Event::LinkMoved { remote, .. } => happened.moved.push(remote),
            Event::LinkClosed { link, reason } => happened.closed.push((link, reason)),
            Event::Dialled { operation, result } | Event::StreamDone { operation, result } => {
                let result = result.map(|number| Bytes::copy_from_slice(&number.to_le_bytes()));
                happened.done.insert(operation, (result, now));
            }
            Event::Answered { operation, result } => {
                happened.done.insert(operation, (result, now));
            }
            Event::Request { request, body, .. } => {
                // "?" is never answered.
                let answer = (body != b"?"[..]).then(|| Command::Answer {
                    request,
                    answer: Ok(body.clone()),
                });
                happened.requests.push(body);
                if let (Some(answer), Some(endpoint)) = (answer, self.endpoint.get().and_then(Weak::upgrade))
                {
                    // Refused only once the endpoint closes.
                    let _ = endpoint.submit(vec![answer]);
                }
            }
            Event::RequestCancelled { .. } => happened.cancelled += 1,
            Event::Datagram { body, .. } => happened.datagrams.push(body),
            Event::StreamOpened { stream, .. } => happened.opened.push_back(stream),
            Event::StreamReadable { stream } => drop(happened.readable.insert(stream)),
            Event::StreamWritable { stream } => drop(happened.writable.insert(stream)),
            _ => return,
        }
        self.changed.notify_all();
    }

    fn waiting_bytes(&self) -> usize {
        0
    }
}

pub struct Peer {
    pub endpoint: Arc<Endpoint>,
    pub id: [u8; 32],
    inbox: Arc<Inbox>,
    next_operation: AtomicU32,
}

impl Peer {
    pub fn start(seed: u8) -> Self {
        Self::start_within(Limits::default(), seed)
    }

    pub fn start_within(limits: Limits, seed: u8) -> Self {
        let key = Arc::new(SigningKey::from_seed(&[seed; 32]).unwrap());
        let id = node_id(key.public_key());
        let inbox = Arc::new(Inbox::default());
        let options = EndpointOptions {
            key,
            hosts: vec![Ipv4Addr::LOCALHOST.into()],
            port: 0,
            accepts: true,
            resumes: true,
        };
        let endpoint = Arc::new(Endpoint::open_within(limits, options, inbox.clone()).unwrap());
        inbox.endpoint.set(Arc::downgrade(&endpoint)).unwrap();
        Self {
            endpoint,
            id,
            inbox,
            next_operation: AtomicU32::new(1),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.endpoint.addresses()[0]
    }

    fn submit(&self, command: impl FnOnce(OperationId) -> Command) -> OperationId {
        let operation = self.next_operation.fetch_add(1, Ordering::Relaxed);
        self.endpoint.submit(vec![command(operation)]).unwrap();
        operation
    }

    pub fn start_dial(&self, expected: [u8; 32], address: SocketAddr) -> OperationId {
        self.submit(|operation| Command::Dial {
            operation,
            expected: Some(expected),
            addresses: vec![address],
            time: Duration::from_secs(10),
            first: None,
        })
    }

    pub fn dial(&self, expected: [u8; 32], address: SocketAddr) -> Result<LinkId, TransportError> {
        self.number_of(self.start_dial(expected, address))
    }

    pub fn start_ask(&self, link: LinkId, class: u8, body: &[u8], time: Duration) -> OperationId {
        let mut message = BytesMut::new();
        message.put_slice(&[REQUEST, class, 7, 0]);
        message.put_slice(body);
        self.submit(|operation| Command::Request {
            link,
            question: Question {
                operation,
                message: message.freeze(),
                time,
                max_response_bytes: 1 << 20,
            },
        })
    }

    pub fn ask(&self, link: LinkId, class: u8, body: &[u8]) -> Result<Bytes, TransportError> {
        self.outcome(self.start_ask(link, class, body, PATIENCE)).0
    }

    pub fn cancel(&self, operation: OperationId) {
        self.endpoint.submit(vec![Command::Cancel { operation }]).unwrap();
    }

    pub fn close(&self, link: LinkId) {
        let code = VarInt::from_u32(0);
        self.endpoint
            .submit(vec![Command::CloseLink { link, code }])
            .unwrap();
        self.wait(|happened| {
            happened
                .closed
                .iter()
                .find(|(closed, _)| *closed == link)
                .map(drop)
        });
    }

    /// Opens a stream of a traffic class, 0 to 4.
    pub fn open(&self, link: LinkId, class: u8) -> Result<Flow<'_>, TransportError> {
        let operation = self.submit(|operation| Command::OpenStream {
            operation,
            link,
            class: TrafficClass::new(class).unwrap(),
            protocol: 9,
            time: PATIENCE,
        });
        let stream = self.number_of(operation)?;
        Ok(Flow { peer: self, stream })
    }

    /// The next stream that the other side opened.
    pub fn accept(&self) -> Flow<'_> {
        let stream = self.wait(|happened| happened.opened.pop_front());
        Flow { peer: self, stream }
    }

    /// Waits for the end of an operation; tells also when that was.
    pub fn outcome(&self, operation: OperationId) -> Outcome {
        self.wait(|happened| happened.done.remove(&operation))
    }

    fn number_of(&self, operation: OperationId) -> Result<u32, TransportError> {
        let number = self.outcome(operation).0?;
        Ok(u32::from_le_bytes(number[..].try_into().unwrap()))
    }

    /// Waits until `find` finds something in what has happened.
    pub fn wait<T>(&self, find: impl FnMut(&mut Happened) -> Option<T>) -> T {
        self.wait_for(PATIENCE, find).expect("it happens in time")
    }

    pub fn wait_for<T>(&self, time: Duration, mut find: impl FnMut(&mut Happened) -> Option<T>) -> Option<T> {
        let until = Instant::now() + time;
        let mut happened = self.inbox.happened.lock();
        loop {
            if let Some(found) = find(&mut happened) {
                return Some(found);
            }
            if self.inbox.changed.wait_until(&mut happened, until).timed_out() {
                return find(&mut happened);
            }
        }
    }
}

/// One side of a stream.
#[derive(Clone, Copy)]
pub struct Flow<'a> {
    peer: &'a Peer,
    pub stream: StreamId,
}

impl Flow<'_> {
    pub fn write_all(&self, bytes: &[u8]) -> Result<(), TransportError> {
        for piece in bytes.chunks(65_536) {
            if self.peer.endpoint.write(self.stream, piece)? {
                self.peer
                    .wait(|happened| happened.writable.remove(&self.stream).then_some(()));
            }
        }
        Ok(())
    }

    pub fn finish(&self) -> Result<(), TransportError> {
        let operation = self.peer.next_operation.fetch_add(1, Ordering::Relaxed);
        self.peer.endpoint.finish(self.stream, operation)?;
        self.peer.number_of(operation).map(drop)
    }

    /// Bytes read; none at the end.
    pub fn read(&self, target: &mut [u8]) -> Result<usize, TransportError> {
        loop {
            match self.peer.endpoint.read(self.stream, target)? {
                Read::Bytes(count) => return Ok(count),
                Read::End => return Ok(0),
                Read::Wait => self
                    .peer
                    .wait(|happened| happened.readable.remove(&self.stream).then_some(())),
            }
        }
    }

    pub fn read_to_end(&self) -> Result<Vec<u8>, TransportError> {
        let mut bytes = Vec::new();
        let mut target = vec![0; 262_144];
        loop {
            match self.read(&mut target)? {
                0 => return Ok(bytes),
                count => bytes.extend_from_slice(&target[..count]),
            }
        }
    }

    pub fn reset(&self, code: u32) {
        self.peer.endpoint.reset(self.stream, VarInt::from_u32(code));
    }
}

/// Bytes that show where a piece of them comes from.
pub fn pattern(count: usize, seed: u8) -> Vec<u8> {
    (0..count)
        .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[4] ^ seed)
        .collect()
}

/// Sends `count` bytes over a fresh bulk stream from one node to the other, and checks each of them.
pub fn transfer(from: &Peer, to: &Peer, link: LinkId, count: usize) {
    let sent = pattern(count, 3);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flow = from.open(link, 4).unwrap();
            flow.write_all(&sent).unwrap();
            flow.finish().unwrap();
        });
        let received = to.accept().read_to_end().unwrap();
        assert!(received == sent, "{} of {count} bytes, or others", received.len());
    });
}
