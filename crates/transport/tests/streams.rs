//! Requests and streams over bad networks: many at once, ended in every way, delivered once.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use common::{
    conditions::Conditions,
    peer::{Flow, Peer, pattern},
    proxy::Proxy,
};
use espalier_core::sign::SigningKey;
use espalier_transport::{error::TransportError, tls};

fn pair(seed: u8, conditions: Conditions) -> (Peer, Peer, Proxy, u32, u32) {
    let (alice, bob) = (Peer::start(seed), Peer::start(seed + 1));
    let proxy = Proxy::start(bob.address(), conditions, u64::from(seed));
    let link = alice.dial(bob.id, proxy.address()).unwrap();
    let theirs = bob.wait(|happened| happened.links.first().copied());
    (alice, bob, proxy, link, theirs)
}

fn lossy() -> Conditions {
    Conditions {
        lost_permille: 30,
        ..Conditions::delay(5)
    }
}

#[test]
fn thousands_of_requests_at_once_are_each_answered_with_their_own_bytes() {
    let (alice, bob, _proxy, link, _) = pair(160, lossy());
    let count = 3000_u32;
    let waiting: Vec<(u32, Vec<u8>)> = (0..count)
        .map(|number| {
            let body = pattern(64 + number as usize % 500, (number % 251) as u8);
            let body = [&number.to_le_bytes()[..], &body].concat();
            let time = Duration::from_secs(30);
            (alice.start_ask(link, 1, &body, time), body)
        })
        .collect();
    for (operation, body) in waiting {
        assert_eq!(alice.outcome(operation).0.unwrap(), body);
    }
    let requests = bob.wait(|happened| Some(std::mem::take(&mut happened.requests)));
    let different: HashSet<_> = requests.iter().collect();
    assert_eq!((requests.len(), different.len()), (3000, 3000));
}

#[test]
fn hundreds_of_streams_are_open_at_once_and_end_in_any_order() {
    let (alice, bob, _proxy, link, _) = pair(162, lossy());
    let flows: Vec<Flow<'_>> = (0..250).map(|_| alice.open(link, 3).unwrap()).collect();
    for (number, flow) in flows.iter().enumerate() {
        flow.write_all(&number.to_le_bytes()).unwrap();
    }
    let accepted: Vec<Flow<'_>> = (0..250).map(|_| bob.accept()).collect();
    // The last is ended first.
    for flow in flows.iter().rev() {
        flow.finish().unwrap();
    }
    let mut numbers = HashSet::new();
    for flow in &accepted {
        let bytes = flow.read_to_end().unwrap();
        numbers.insert(usize::from_le_bytes(bytes[..].try_into().unwrap()));
        flow.write_all(&bytes).unwrap();
        flow.finish().unwrap();
    }
    assert_eq!(numbers, (0..250).collect());
    for (number, flow) in flows.iter().enumerate() {
        assert_eq!(flow.read_to_end().unwrap(), number.to_le_bytes());
    }
}

#[test]
fn what_was_duplicated_and_reordered_under_way_is_delivered_once() {
    let conditions = Conditions {
        duplicated_permille: 300,
        reordered_permille: 200,
        ..Conditions::delay(3)
    };
    let (alice, bob, _proxy, link, _) = pair(164, conditions);
    let asked: Vec<u32> = (0..300_u32)
        .map(|number| alice.start_ask(link, 1, &number.to_le_bytes(), Duration::from_secs(20)))
        .collect();
    let sent = (0..300_u32)
        .filter(|number| alice.endpoint.send_datagram(link, 5, &number.to_le_bytes()))
        .count();
    for operation in asked {
        alice.outcome(operation).0.unwrap();
    }
    assert_eq!(sent, 300);
    // Nothing is lost here; a short while after the last answer whatever comes twice would have come.
    bob.wait(|happened| (happened.datagrams.len() >= 300).then_some(()));
    std::thread::sleep(Duration::from_millis(100));
    bob.wait(|happened| {
        for bodies in [&happened.requests, &happened.datagrams] {
            let different: HashSet<_> = bodies.iter().collect();
            assert_eq!((bodies.len(), different.len()), (300, 300));
        }
        Some(())
    });
}

#[test]
fn each_side_may_end_or_reset_its_half_also_under_loss() {
    let (alice, bob, _proxy, link, theirs) = pair(166, lossy());
    let bytes = pattern(100_000, 1);
    for (opener, other, link) in [(&alice, &bob, link), (&bob, &alice, theirs)] {
        // Half-closed by its opener, it still carries the answer.
        let flow = opener.open(link, 4).unwrap();
        flow.write_all(&bytes).unwrap();
        flow.finish().unwrap();
        let accepted = other.accept();
        assert!(accepted.read_to_end().unwrap() == bytes);
        accepted.write_all(&bytes).unwrap();
        accepted.finish().unwrap();
        assert!(flow.read_to_end().unwrap() == bytes);

        // Half-closed by the other side, too.
        let flow = opener.open(link, 4).unwrap();
        flow.write_all(b"first").unwrap();
        let accepted = other.accept();
        accepted.write_all(&bytes).unwrap();
        accepted.finish().unwrap();
        assert!(flow.read_to_end().unwrap() == bytes);
        flow.write_all(b" and last").unwrap();
        flow.finish().unwrap();
        assert_eq!(accepted.read_to_end().unwrap(), b"first and last");

        for opener_resets in [true, false] {
            let flow = opener.open(link, 4).unwrap();
            flow.write_all(b"begun").unwrap();
            let accepted = other.accept();
            let mut begun = [0; 5];
            assert_eq!(accepted.read(&mut begun).unwrap(), 5);
            let (by, at) = if opener_resets {
                (flow, accepted)
            } else {
                (accepted, flow)
            };
            by.reset(42);
            assert_eq!(at.read(&mut begun).unwrap_err(), TransportError::Reset(42));
            // Its writer hears it as well: nobody reads any more.
            let refused = loop {
                match at.write_all(&bytes) {
                    Ok(()) => std::thread::sleep(Duration::from_millis(5)),
                    Err(error) => break error,
                }
            };
            assert_eq!(refused, TransportError::Reset(42));
        }
    }
}

#[test]
fn deadlines_and_cancellation_reach_the_peer_also_when_it_was_cut_off_meanwhile() {
    let (alice, bob, proxy, link, _) = pair(168, Conditions::delay(2));
    // "?" is never answered.
    let far = Duration::from_mins(1);
    let asked: Vec<u32> = (0..20).map(|_| alice.start_ask(link, 1, b"?", far)).collect();
    bob.wait(|happened| (happened.requests.len() == 20).then_some(()));
    proxy.both_ways(|wire| wire.is_silent = true);

    let started = Instant::now();
    let late = alice.start_ask(link, 1, b"too late", Duration::from_millis(200));
    for operation in &asked {
        alice.cancel(*operation);
    }
    for operation in asked {
        assert_eq!(alice.outcome(operation).0.unwrap_err().code(), "ABORTED");
    }
    assert_eq!(alice.outcome(late).0.unwrap_err().code(), "TIMEOUT");
    // The caller is told by its own clock, not by a peer that says nothing.
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );

    proxy.both_ways(|wire| wire.is_silent = false);
    let cancelled = bob.wait_for(Duration::from_secs(20), |happened| {
        (happened.cancelled >= 20).then_some(happened.cancelled)
    });
    assert!(cancelled.is_some(), "the peer still holds what nobody waits for");
    // What is over is over: a cancelled operation may be cancelled again, and the link still works.
    alice.cancel(late);
    assert_eq!(alice.ask(link, 1, b"and now").unwrap(), &b"and now"[..]);
}

/// The shorter idle time of both sides counts (RFC 9000 §10.1), so a client can have a short one.
#[test]
fn a_peer_that_falls_silent_is_lost_after_the_idle_time() {
    let bob = Peer::start(170);
    let proxy = Proxy::start(bob.address(), Conditions::default(), 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let key = std::sync::Arc::new(SigningKey::from_seed(&[171; 32]).unwrap());
    let mut config = tls::configs(&key, true).unwrap().client;
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(2).try_into().unwrap()));
    config.transport_config(std::sync::Arc::new(transport));
    let client = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = client
        .connect_with(config, proxy.address(), "any-node.invalid")
        .unwrap();
    let connection = runtime.block_on(connecting).unwrap();
    let theirs = bob.wait(|happened| happened.links.first().copied());

    let started = Instant::now();
    proxy.both_ways(|wire| wire.is_silent = true);
    let asked = bob.start_ask(theirs, 1, b"hello?", Duration::from_mins(1));
    assert_eq!(bob.outcome(asked).0.unwrap_err().code(), "CONNECTION_LOST");
    let closed = bob.wait(|happened| happened.closed.pop());
    assert_eq!((closed.0, closed.1.code()), (theirs, "CONNECTION_LOST"));
    let took = started.elapsed();
    assert!(
        took > Duration::from_secs(1) && took < Duration::from_secs(20),
        "{took:?}"
    );
    drop(connection);
}

/// The whole idle time of 30 s, by `ESPALIER_LONG=1`; else that the connection lives on after a third of it.
#[test]
fn silence_is_borne_for_the_idle_time_and_no_longer() {
    let (alice, bob, proxy, link, _) = pair(172, Conditions::default());
    let is_long = std::env::var_os("ESPALIER_LONG").is_some();
    proxy.both_ways(|wire| wire.is_silent = true);
    let started = Instant::now();
    let borne = Duration::from_secs(if is_long { 25 } else { 4 });
    for peer in [&alice, &bob] {
        let left = borne.saturating_sub(started.elapsed());
        let closed = peer.wait_for(left, |happened| happened.closed.pop());
        assert_eq!(closed, None);
    }
    if is_long {
        for peer in [&alice, &bob] {
            let (_, reason) = peer.wait(|happened| happened.closed.pop());
            assert_eq!(reason.code(), "CONNECTION_LOST");
        }
        println!("lost after {:?}", started.elapsed());
        assert!(started.elapsed() < Duration::from_secs(45));
    } else {
        proxy.both_ways(|wire| wire.is_silent = false);
        assert_eq!(alice.ask(link, 1, b"back again").unwrap(), &b"back again"[..]);
    }
}
