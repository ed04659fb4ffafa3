//! What quinn's own client can do that a node does not: change its socket, and change its keys at will.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{net::UdpSocket, sync::Arc};

use common::{
    conditions::Conditions,
    peer::{Peer, pattern},
    proxy::Proxy,
};
use espalier_core::sign::SigningKey;
use espalier_transport::tls;
use quinn::{Connection, Endpoint};
use tokio::runtime::Runtime;

/// Header: request, class 1, protocol 7.
const REQUEST: [u8; 4] = [1, 1, 7, 0];

#[test]
fn a_client_that_moves_to_another_socket_keeps_its_connection_and_is_known_there() {
    let bob = Peer::start(190);
    let client = Client::connect(191, &bob, bob.address());
    for round in 0..3_u8 {
        assert_eq!(client.ask(&[round; 5000]), [round; 5000]);
        let _entered = client.runtime.enter();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let moved_to = socket.local_addr().unwrap();
        client.endpoint.rebind(socket).unwrap();
        // The first that comes from the new socket is large.
        let large = pattern(200_000, round);
        assert_eq!(client.ask(&large), large);
        assert_eq!(bob.wait(|happened| happened.moved.pop()), moved_to);
    }
    let (ups, closed) = bob.wait(|happened| Some((happened.links.len(), happened.closed.len())));
    assert_eq!((ups, closed), (1, 0));
}

#[test]
fn keys_that_the_client_changes_are_followed_also_over_a_lossy_way() {
    let bob = Peer::start(192);
    let conditions = Conditions {
        lost_permille: 50,
        reordered_permille: 50,
        ..Conditions::delay(2)
    };
    let proxy = Proxy::start(bob.address(), conditions, 1);
    let client = Client::connect(193, &bob, proxy.address());
    for round in 0..10_u8 {
        let body = pattern(60_000, round);
        assert_eq!(client.ask(&body), body);
        client.connection.force_key_update();
        assert_eq!(client.ask(&body), body);
    }
    assert!(client.connection.close_reason().is_none());
}

struct Client {
    runtime: Runtime,
    endpoint: Endpoint,
    connection: Connection,
}

impl Client {
    fn connect(seed: u8, server: &Peer, address: std::net::SocketAddr) -> Self {
        let runtime = Runtime::new().unwrap();
        let key = Arc::new(SigningKey::from_seed(&[seed; 32]).unwrap());
        let config = tls::configs(&key, true).unwrap().client;
        let (endpoint, connection) = runtime.block_on(async {
            let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let connecting = endpoint.connect_with(config, address, "any-node.invalid");
            let connection = connecting.unwrap().await.unwrap();
            (endpoint, connection)
        });
        server.wait(|happened| happened.links.first().copied());
        Self {
            runtime,
            endpoint,
            connection,
        }
    }

    /// The body of the answer.
    fn ask(&self, body: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            let (mut send, mut receive) = self.connection.open_bi().await.unwrap();
            send.write_all(&[&REQUEST, body].concat()).await.unwrap();
            send.finish().unwrap();
            let answer = receive.read_to_end(1 << 20).await.unwrap();
            assert_eq!(answer[0], 0, "an error instead of an answer");
            answer[1..].to_vec()
        })
    }
}
