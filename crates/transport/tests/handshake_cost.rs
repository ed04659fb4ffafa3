//! What a handshake costs the server before the client's address is known to be its own, and after.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    conditions::{Conditions, Direction},
    peer::Peer,
    proxy::{Passed, Proxy},
};
use espalier_core::sign::SigningKey;
use espalier_transport::{
    counters::Refused,
    limits::{HANDSHAKE_TIME, RETRY_ABOVE},
    tls,
};

#[test]
fn a_server_sends_at_most_three_times_what_a_silenced_client_sent() {
    // The hello takes two datagrams. The first alone is half of one; after both comes the whole answer, and what
    // follows is repeated hellos.
    std::thread::scope(|scope| {
        for datagrams in 1..=4_u8 {
            scope.spawn(move || {
                let (alice, bob) = (Peer::start(140 + 2 * datagrams), Peer::start(141 + 2 * datagrams));
                let proxy = Proxy::start(bob.address(), Conditions::delay(5), 1);
                proxy.to_server(|wire| wire.passes_at_most = u64::from(datagrams));
                // The client has to go on as if it had heard nothing, so that it repeats its hello.
                proxy.to_client(|wire| wire.is_silent = true);
                let started = Instant::now();
                let error = alice.dial(bob.id, proxy.address()).unwrap_err();
                assert_eq!(error.code(), "PEER_UNREACHABLE");
                // Both sides have given up by now; what a server repeats later would come in this time.
                std::thread::sleep(
                    (HANDSHAKE_TIME + Duration::from_secs(2)).saturating_sub(started.elapsed()),
                );

                let passed = proxy.passed();
                let received = bytes(
                    passed
                        .iter()
                        .filter(|passed| passed.direction == Direction::ToServer && passed.fate.arrives()),
                );
                let sent = bytes(passed.iter().filter(|passed| !passed.is_from_client()));
                println!("after {datagrams} datagrams, {received} bytes: {sent} bytes");
                assert_eq!(received, 1200 * usize::from(datagrams));
                assert!(sent <= 3 * received, "{sent} bytes for {received}");
                if datagrams >= 2 {
                    assert!(sent > 7000, "{sent} bytes are no post-quantum flight");
                }
            });
        }
    });
}

#[test]
fn a_second_dial_resumes_and_needs_no_proof_again() {
    let (alice, bob) = (Peer::start(150), Peer::start(151));
    let proxy = Proxy::start(bob.address(), Conditions::delay(100), 1);
    let flights: Vec<[usize; 2]> = (0..3)
        .map(|_| {
            let before = proxy.passed().len();
            let link = alice.dial(bob.id, proxy.address()).unwrap();
            // The session comes with or before the answer.
            alice.ask(link, 1, b"remember me").unwrap();
            let passed = proxy.passed().split_off(before);
            alice.close(link);
            // The peer has to know too, or the next dial is the same link again.
            bob.wait(|happened| happened.closed.pop());
            first_flights(&passed)
        })
        .collect();

    println!("first flights of client and server: {flights:?}");
    assert!(flights[0][1] > 6500, "{flights:?}");
    for [client, server] in &flights[1..] {
        assert!(*server < 3500, "{flights:?}");
        assert!(*client < 6000, "{flights:?}");
    }
}

#[test]
fn above_the_threshold_an_address_is_proved_by_a_retry_first_also_over_a_lossy_way() {
    let (alice, bob) = (Peer::start(152), Peer::start(153));
    let conditions = Conditions {
        lost_permille: 100,
        ..Conditions::delay(5)
    };
    let proxy = Proxy::start(bob.address(), conditions, 5);
    // These get no answer, so that their handshakes stay under way.
    let deaf = Proxy::start(bob.address(), Conditions::default(), 1);
    deaf.to_client(|wire| wire.is_silent = true);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let key = Arc::new(SigningKey::from_seed(&[154; 32]).unwrap());
    let config = tls::configs(&key, true).unwrap().client;
    let stalled = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let waiting: Vec<quinn::Connecting> = (0..RETRY_ABOVE + 20)
        .map(|_| {
            stalled
                .connect_with(config.clone(), deaf.address(), "any-node.invalid")
                .unwrap()
        })
        .collect();
    wait_until(|| bob.endpoint.counters().refused(Refused::Retry) > 0);

    let link = alice.dial(bob.id, proxy.address()).unwrap();
    let retried = proxy
        .passed()
        .iter()
        .any(|passed| !passed.is_from_client() && passed.is_retry());
    assert!(retried);
    assert_eq!(alice.ask(link, 1, b"proved").unwrap(), &b"proved"[..]);
    drop(waiting);
}

/// Bytes of the client's packets before the server's first, and of the server's packets within the round trip
/// of 200 ms after.
fn first_flights(passed: &[Passed]) -> [usize; 2] {
    let server_from = passed.iter().find(|passed| !passed.is_from_client()).unwrap().at;
    let client = passed
        .iter()
        .filter(|passed| passed.is_from_client() && passed.at < server_from);
    let server = passed
        .iter()
        .filter(|passed| !passed.is_from_client() && passed.at < server_from + Duration::from_millis(150));
    [bytes(client), bytes(server)]
}

fn bytes<'a>(passed: impl Iterator<Item = &'a Passed>) -> usize {
    passed.map(|passed| passed.bytes).sum()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(10), "in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}
