//! What an endpoint counts while it works, seen from both sides.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{
    collections::HashMap,
    net::UdpSocket,
    time::{Duration, Instant},
};

use common::{
    TestNode,
    conditions::{Conditions, Fate},
    proxy::{Passed, Proxy},
    wait_until,
};
use espalier_transport::{Read, events::Event};

const PATIENCE: Duration = Duration::from_secs(10);

fn figures(node: &TestNode) -> HashMap<String, u64> {
    node.endpoint.figures().into_iter().collect()
}

fn figure(node: &TestNode, name: &str) -> u64 {
    figures(node)[name]
}

/// Waits until a figure has this value; the two ends of a pair learn of one thing at different times.
fn settles(node: &TestNode, name: &str, value: u64) {
    let started = Instant::now();
    while figure(node, name) != value {
        assert!(
            started.elapsed() < PATIENCE,
            "{name} is {}, not {value}",
            figure(node, name)
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn handshakes_are_counted_by_who_began_and_how_they_ended() {
    let (alice, bob) = (TestNode::start(60), TestNode::start(61));

    alice.dial(Some(bob.id), bob.address()).unwrap();
    assert_eq!(figure(&alice, "count.handshakes.outbound.full"), 1);
    settles(&bob, "count.handshakes.inbound.full", 1);

    let carol = TestNode::start(62);
    assert!(carol.dial(Some([7; 32]), bob.address()).is_err());
    assert_eq!(figure(&carol, "count.handshakes.outbound.failed"), 1);
    settles(&bob, "count.handshakes.inbound.failed", 1);

    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(carol.dial(None, silent.local_addr().unwrap()).is_err());
    assert_eq!(figure(&carol, "count.handshakes.outbound.timed_out"), 1);
    assert_eq!(figure(&carol, "count.handshakes.outbound.full"), 0);
}

#[test]
fn bytes_are_counted_by_direction_and_class_and_agree_on_both_sides() {
    let (alice, bob) = (TestNode::start(63), TestNode::start(64));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();

    alice.start_ask(link, &[1; 1000], PATIENCE);
    bob.echo_one();
    alice.wait(|event| matches!(event, Event::Answered { .. }).then_some(()));
    for (node, ways) in [(&alice, ["outbound", "inbound"]), (&bob, ["inbound", "outbound"])] {
        for way in ways {
            settles(node, &format!("count.bytes.{way}.request"), 1000);
        }
    }

    let stream = alice.open_stream(link).unwrap();
    alice.endpoint.write(stream, &[2; 5000]).unwrap();
    let opened = bob.wait(|event| match event {
        Event::StreamOpened { stream, .. } => Some(*stream),
        _ => None,
    });
    settles(&alice, "count.bytes.outbound.bulk", 5000);
    settles(&bob, "count.bytes.inbound.bulk", 5000);
    assert_eq!(figure(&alice, "level.streams"), 1);
    assert_eq!(figure(&bob, "level.streams"), 1);
    let mut read = [0; 8192];
    assert_eq!(bob.endpoint.read(opened, &mut read).unwrap(), Read::Bytes(5000));

    assert!(alice.endpoint.send_datagram(link, 1, &[3; 100]));
    settles(&bob, "count.bytes.inbound.datagram", 100);
    settles(&bob, "count.datagrams.inbound", 1);
    assert_eq!(figure(&alice, "count.bytes.outbound.datagram"), 100);
    assert_eq!(figure(&alice, "count.datagrams.outbound"), 1);

    // Every packet with its headers, the handshake among them.
    assert!(figure(&alice, "count.packet_bytes.outbound") > 6100);
    assert!(figure(&bob, "count.packet_bytes.inbound") > 6100);
    let round_trips = alice.endpoint.round_trips(10);
    assert_eq!(round_trips.len(), 1);
    assert!(round_trips[0] > Duration::ZERO && round_trips[0] < PATIENCE);
    assert!(alice.endpoint.round_trips(0).is_empty());
}

#[test]
fn the_stats_of_a_connection_are_what_went_over_its_way() {
    let (alice, bob) = (TestNode::start(68), TestNode::start(69));
    let one_way = Duration::from_millis(20);
    let proxy = Proxy::start(bob.address(), Conditions::delay(20), 1);
    let link = alice.dial(Some(bob.id), proxy.address()).unwrap();
    let theirs = bob.wait(|event| match event {
        Event::LinkUp { link, .. } => Some(*link),
        _ => None,
    });
    let ask = || {
        alice.start_ask(link, &vec![1; 50_000], PATIENCE);
        bob.echo_one();
        alice.wait(|event| matches!(event, Event::Answered { .. }).then_some(()));
    };
    // Bytes that came to the proxy and bytes that it let through, from the client or to it.
    let went = |from_client: bool| -> [u64; 2] {
        let passed = proxy.passed();
        let passed = passed
            .iter()
            .filter(|datagram| datagram.is_from_client() == from_client);
        passed.fold([0, 0], |[sent, came], datagram| {
            let bytes = datagram.bytes as u64;
            [
                sent + bytes,
                came + if datagram.fate.arrives() { bytes } else { 0 },
            ]
        })
    };
    let agree = || {
        let (ours, theirs) = (
            alice.endpoint.stats(link).unwrap(),
            bob.endpoint.stats(theirs).unwrap(),
        );
        let [up, down] = [went(true), went(false)];
        // The acceptor's part of a connection begins after the packet that begins it.
        let first = proxy.passed()[0].bytes as u64;
        up == [ours.bytes_sent, theirs.bytes_received + first]
            && down == [theirs.bytes_sent, ours.bytes_received]
    };

    ask();

    wait_until("both ends to agree with the way", agree);
    for stats in [
        alice.endpoint.stats(link).unwrap(),
        bob.endpoint.stats(theirs).unwrap(),
    ] {
        assert!(stats.bytes_sent > 50_000 && stats.bytes_received > 50_000);
        assert!(stats.rtt >= 2 * one_way && stats.rtt < 20 * one_way, "{stats:?}");
        assert_eq!(stats.packets_lost, 0);
    }

    proxy.to_server(|wire| wire.lost_permille = 200);
    for _ in 0..5 {
        ask();
    }
    proxy.to_server(|wire| wire.lost_permille = 0);
    ask();

    wait_until("both ends to agree with the way", agree);
    let is_lost = |datagram: &&Passed| datagram.fate == Fate::Lost;
    let lost = proxy.passed().iter().filter(is_lost).count() as u64;
    let noticed = alice.endpoint.stats(link).unwrap().packets_lost;
    // A lost acknowledgement is not missed.
    assert!(noticed > 0 && noticed <= lost, "{noticed} of {lost}");
    assert_eq!(bob.endpoint.stats(theirs).unwrap().packets_lost, 0);
}

#[test]
fn what_is_under_way_goes_up_and_down() {
    let (alice, bob) = (TestNode::start(65), TestNode::start(66));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();

    alice.start_ask(link, &[1; 300], PATIENCE);
    settles(&alice, "level.operations", 1);
    settles(&bob, "level.requests_served", 1);

    bob.echo_one();
    settles(&alice, "level.operations", 0);
    settles(&bob, "level.requests_served", 0);
}

#[test]
fn packets_that_are_not_quic_are_counted() {
    let alice = TestNode::start(67);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&[0x3f, 1, 2, 3], alice.address()).unwrap();

    settles(&alice, "count.foreign_packets", 1);
    assert_eq!(figure(&alice, "count.packet_bytes.inbound"), 4);
}
