//! What connections that do nothing cost a server, in a process of its own, and that they leave nothing behind.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![cfg(target_os = "linux")]

mod common;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    TestNode, is_long,
    server::{Server, serve},
};
use espalier_core::sign::SigningKey;
use espalier_transport::tls;
use quinn::{Connection, Endpoint, TransportConfig, VarInt};
use tokio::{runtime::Runtime, task::JoinSet};

const MOST_BYTES: usize = 1 << 30;
/// Of each connection, so that fewer than 10,000 can be held to it.
const MOST_BYTES_OF_ONE: usize = MOST_BYTES / 10_000;
/// Handshakes at once.
const AT_ONCE: usize = 64;

#[test]
fn idle_connections_are_small_and_return_their_memory() {
    let count = if is_long() { 10_000 } else { 300 };
    let server = Server::start();
    let clients = Clients::start();
    // The first ones pay for what all share.
    let warm = clients.connect(server.address, 0, 100);
    clients.leave(warm);
    let empty = server.rests();

    let begun = Instant::now();
    let connections = clients.connect(server.address, 1000, count);
    let took = begun.elapsed();
    let full = server.rests();
    let alive = connections.iter().filter(|each| each.close_reason().is_none());
    assert_eq!(alive.count(), count);
    clients.leave(connections);
    let left = server.rests();
    println!(
        "{count} connections in {took:?}: {} MB became {} MB, {} KB each; after they left {} MB",
        empty / 1_000_000,
        full / 1_000_000,
        full.saturating_sub(empty) / count / 1000,
        left / 1_000_000
    );
    assert!(full <= MOST_BYTES, "{full} bytes");
    assert!(
        full - empty <= MOST_BYTES_OF_ONE * count,
        "{full} bytes, {empty} before"
    );

    // As many again find room in what these left, whatever the allocator keeps for itself.
    let connections = clients.connect(server.address, 100_000, count);
    let again = server.rests();
    clients.leave(connections);
    println!("{count} more: {} MB", again / 1_000_000);
    assert!(again <= full + (full - empty) / 4, "{again} bytes, {full} before");
}

#[test]
#[ignore = "the server's process, which the other test starts"]
fn server() {
    let node = TestNode::start(250);
    // It is asked for its resident bytes only.
    serve(node.address(), || 0);
}

/// Nodes of one identity each behind one socket.
struct Clients {
    runtime: Runtime,
    endpoint: Endpoint,
}

impl Clients {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let entered = runtime.enter();
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        drop(entered);
        Self { runtime, endpoint }
    }

    /// Connects `count` nodes, whose identities are numbered from `first`.
    fn connect(&self, server: SocketAddr, first: u32, count: usize) -> Vec<Connection> {
        self.runtime.block_on(async {
            let mut connections = Vec::new();
            let mut under_way = JoinSet::new();
            for number in (first..).take(count) {
                if under_way.len() == AT_ONCE {
                    connections.push(under_way.join_next().await.unwrap().unwrap());
                }
                under_way.spawn(connect(self.endpoint.clone(), server, number));
            }
            while let Some(connection) = under_way.join_next().await {
                connections.push(connection.unwrap());
            }
            connections
        })
    }

    fn leave(&self, connections: Vec<Connection>) {
        for connection in connections {
            connection.close(VarInt::from_u32(0), b"");
        }
        self.runtime.block_on(self.endpoint.wait_idle());
    }
}

async fn connect(endpoint: Endpoint, server: SocketAddr, number: u32) -> Connection {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    let key = Arc::new(SigningKey::from_seed(&seed).unwrap());
    let mut config = tls::configs(&key, false).unwrap().client;
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_secs(10)));
    config.transport_config(Arc::new(transport));
    let connecting = endpoint.connect_with(config, server, "any-node.invalid");
    connecting.unwrap().await.unwrap()
}
