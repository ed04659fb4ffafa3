//! What peers that open everything and read nothing make a server hold, in a process of its own.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![allow(unsafe_code, reason = "an allocator that counts")]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use common::{
    TestNode,
    server::{Server, serve},
};
use espalier_core::sign::SigningKey;
use espalier_transport::{
    Read, VarInt,
    endpoint::{Command, Endpoint as Node},
    events::{Event, StreamId},
    tls,
};
use quinn::{Connection, Endpoint, SendStream, TransportConfig, WriteError};
use tokio::{runtime::Runtime, task::JoinSet, time::timeout};

const PEERS: usize = 8;
/// Of each peer, whatever it does.
const MOST_BYTES: usize = 2 << 20;
/// Of all together when they have left: tables that have grown.
const MOST_LEFT_BYTES: usize = 1 << 20;
/// Header: request, class 1, protocol 7; and the answer has the same bytes as the body.
const REQUEST: [u8; 4] = [1, 1, 7, 0];
/// Header: stream, class 4, protocol 7.
const STREAM: [u8; 4] = [2, 4, 7, 0];
/// What the server reads and writes at once: a piece of each stream waits whatever the others have.
const PIECE_BYTES: usize = 1024;
const REQUEST_BYTES: usize = 100_000;
const STREAM_BYTES: usize = 100_000;
/// Streams above this are not given; a peer that finds a way to more shall not run for ever.
const MOST_STREAMS: usize = 5000;
/// What doesn't go on for so long does not go on.
const STILL: Duration = Duration::from_secs(2);

#[test]
fn peers_that_ask_for_much_and_read_nothing_are_held_to_their_bytes() {
    held_to_their_bytes("requests", |_| Opening::Request);
}

#[test]
fn peers_that_have_their_streams_echoed_and_read_nothing_are_held_to_their_bytes() {
    held_to_their_bytes("streams", |_| Opening::Stream);
}

#[test]
fn peers_that_do_everything_at_once_and_read_nothing_are_held_to_their_bytes() {
    held_to_their_bytes("all", |number| match number % 8 {
        0 => Opening::Nothing,
        1 => Opening::Half,
        2..5 => Opening::Stream,
        _ => Opening::Request,
    });
}

/// How a peer begins a stream.
#[derive(Clone, Copy)]
enum Opening {
    /// With the first byte of a header.
    Nothing,
    /// As a request that does not end.
    Half,
    /// As a request.
    Request,
    /// As a stream that goes on.
    Stream,
}

fn held_to_their_bytes(what: &str, opening: fn(usize) -> Opening) {
    let mut server = Server::start();
    let hoarders = Hoarders::start();
    // The first ones pay for what all share.
    let warm = hoarders.connect(server.address, 0);
    hoarders.leave(warm);
    let empty = server.holds();

    for round in 1..=2 {
        let connections = hoarders.connect(server.address, round);
        let streams = hoarders.hoard(&connections, opening);
        let full = server.holds();
        let alive = connections.iter().filter(|each| each.close_reason().is_none());
        assert_eq!(alive.count(), PEERS);
        hoarders.leave(connections);
        let left = server.holds();
        println!(
            "{PEERS} peers, {what}, {streams} streams: {empty} bytes became {full}, {} KiB each; after they left {left}",
            full.saturating_sub(empty) / PEERS / 1024
        );
        assert!(full <= empty + PEERS * MOST_BYTES, "{full} bytes, {empty} before");
        assert!(left <= empty + MOST_LEFT_BYTES, "{left} bytes, {empty} before");
    }
}

#[test]
#[ignore = "the server's process, which the other tests start"]
fn server() {
    let node = Arc::new(TestNode::start(251));
    let address = node.address();
    std::thread::spawn(move || answer_everything(&node));
    serve(address, || HELD.load(Ordering::Relaxed));
}

/// Bytes that are allocated now. What an allocator keeps for itself depends on what came before, and hides this.
static HELD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Answers each request with its body, reads each stream, and writes to it what it reads as far as it may.
fn answer_everything(node: &TestNode) {
    let mut target = vec![0; PIECE_BYTES];
    let mut waits = HashSet::new();
    loop {
        match node.next() {
            Event::Request { request, body, .. } => {
                let answer = Command::Answer {
                    request,
                    answer: Ok(body),
                };
                node.endpoint.submit(vec![answer]).unwrap();
            }
            Event::StreamOpened { stream, .. } | Event::StreamReadable { stream } => {
                echo(&node.endpoint, stream, &mut target, &mut waits);
            }
            Event::StreamWritable { stream } => drop(waits.remove(&stream)),
            _ => {}
        }
    }
}

/// What can't be written now is not: an owner that waited for its writer before it reads on would hold back what comes.
fn echo(node: &Node, stream: StreamId, target: &mut [u8], waits: &mut HashSet<StreamId>) {
    loop {
        let echoed = match node.read(stream, target) {
            Ok(Read::Bytes(_)) if waits.contains(&stream) => Ok(false),
            Ok(Read::Bytes(count)) => node.write(stream, &target[..count]),
            Ok(Read::Wait) => return,
            Ok(Read::End) => return node.finish(stream, 0).unwrap_or_default(),
            Err(error) => Err(error),
        };
        match echoed {
            Ok(true) => drop(waits.insert(stream)),
            Ok(false) => {}
            Err(_) => return node.reset(stream, VarInt::from_u32(0)),
        }
    }
}

/// Peers behind a socket each.
struct Hoarders {
    runtime: Runtime,
    endpoints: Vec<Endpoint>,
}

impl Hoarders {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let entered = runtime.enter();
        let endpoint = |_| Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let endpoints = (0..PEERS).map(endpoint).collect();
        drop(entered);
        Self { runtime, endpoints }
    }

    fn connect(&self, server: SocketAddr, round: u8) -> Vec<Connection> {
        self.runtime.block_on(async {
            let mut connections = Vec::new();
            for (number, endpoint) in (0..).zip(&self.endpoints) {
                connections.push(connect(endpoint, server, round, number).await);
            }
            connections
        })
    }

    /// Everything at once; returns the streams that they opened, once nothing goes on.
    fn hoard(&self, connections: &[Connection], opening: fn(usize) -> Opening) -> usize {
        self.runtime.block_on(async {
            let mut hoarding = JoinSet::new();
            for connection in connections {
                hoarding.spawn(hoard(connection.clone(), opening));
            }
            hoarding.join_all().await.into_iter().sum()
        })
    }

    fn leave(&self, connections: Vec<Connection>) {
        for connection in connections {
            connection.close(VarInt::from_u32(0), b"");
        }
        for endpoint in &self.endpoints {
            self.runtime.block_on(endpoint.wait_idle());
        }
    }
}

async fn connect(endpoint: &Endpoint, server: SocketAddr, round: u8, number: u8) -> Connection {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&[round, number]);
    let key = Arc::new(SigningKey::from_seed(&seed).unwrap());
    let mut config = tls::configs(&key, false).unwrap().client;
    let mut transport = TransportConfig::default();
    // What it lets a stream bring, and all of them: an answer is stuck in the one or in the other.
    let (of_stream, of_all) = match number % 4 {
        0 => (100, 1 << 30),
        1 => (10_000, 1 << 30),
        2 => (100, 1000),
        _ => (10_000, 100_000),
    };
    transport
        .stream_receive_window(VarInt::from_u32(of_stream))
        .receive_window(VarInt::from_u32(of_all))
        .send_window(1 << 30)
        .keep_alive_interval(Some(Duration::from_secs(5)));
    config.transport_config(Arc::new(transport));
    let connecting = endpoint.connect_with(config, server, "any-node.invalid");
    connecting.unwrap().await.unwrap()
}

async fn hoard(connection: Connection, opening: fn(usize) -> Opening) -> usize {
    let mut filling = JoinSet::new();
    let mut streams = 0;
    while streams < MOST_STREAMS
        && let Ok(opened) = timeout(STILL, connection.open_bi()).await
    {
        let (mut send, receive) = opened.unwrap();
        // What is dropped would be given up, and let go of at the server.
        std::mem::forget(receive);
        let opening = opening(streams);
        streams += 1;
        filling.spawn(async move {
            // Until nothing goes on, or the server wants no more.
            let written = timeout(STILL, fill(&mut send, opening)).await;
            if matches!((written, opening), (Ok(Ok(())), Opening::Request)) {
                let _ = send.finish();
            }
            std::mem::forget(send);
        });
    }
    for _ in 0..1000 {
        // Older ones are dropped when the way is full.
        connection.send_datagram(Bytes::from_static(&[7; 1000])).unwrap();
    }
    filling.join_all().await;
    streams
}

async fn fill(send: &mut SendStream, opening: Opening) -> Result<(), WriteError> {
    let (header, bytes) = match opening {
        Opening::Nothing => (&REQUEST[..1], 0),
        Opening::Half | Opening::Request => (&REQUEST[..], REQUEST_BYTES),
        Opening::Stream => (&STREAM[..], STREAM_BYTES),
    };
    send.write_all(header).await?;
    send.write_all(&vec![7; bytes]).await
}
