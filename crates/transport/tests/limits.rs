//! Every limit of an endpoint, at the limit and one past it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{
    TestNode,
    conditions::Conditions,
    proxy::Proxy,
    raw::{REQUEST, RawPeer, STREAM},
};
use espalier_transport::{
    AddressRates, Rate,
    counters::{Direction, Handshake, Refused},
    endpoint::{Command, Question},
    error::TransportError,
    events::Event,
    limits::{DATAGRAM_BUFFER, Limits, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES},
};
use quinn::{Connection, ReadError};
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);
const A_WHILE: Duration = Duration::from_millis(500);

/// Waits until `done`, and fails when that takes too long.
fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < 15 * SECOND, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn as_many_handshakes_as_may_be_under_way_are_and_one_more_is_ignored() {
    let limits = Limits {
        handshakes: 4,
        retry_above: 4,
        handshake_time: 3 * SECOND,
        ..Limits::default()
    };
    let bob = TestNode::start_within(60, 0, limits);
    let counters = bob.endpoint.counters();
    let proxy = silent_to_clients(&bob);
    let peer = RawPeer::start(61, |_| {});
    let _stalled: Vec<_> = (0..4).map(|_| peer.begin(proxy.address())).collect();
    std::thread::sleep(A_WHILE);
    assert_eq!(counters.refused(Refused::Handshakes), 0);

    let _one_more = peer.begin(proxy.address());
    until("the fifth is refused", || {
        counters.refused(Refused::Handshakes) > 0
    });
    assert_eq!(counters.refused(Refused::Retry), 0);

    // Each is given up after its time, and then there is room for an honest one.
    until("stalled handshakes end", || {
        counters.handshakes(Direction::Inbound, Handshake::TimedOut) >= 4
    });
    proxy.to_client(|conditions| conditions.is_silent = false);
    let alice = TestNode::start(62);
    alice.dial(Some(bob.id), bob.address()).unwrap();
}

#[test]
fn above_the_mark_a_client_proves_its_address_first_and_still_gets_in() {
    let limits = Limits {
        handshakes: 4,
        retry_above: 2,
        ..Limits::default()
    };
    let bob = TestNode::start_within(63, 0, limits);
    let counters = bob.endpoint.counters();
    let proxy = silent_to_clients(&bob);
    let peer = RawPeer::start(64, |_| {});
    let mut stalled = vec![peer.begin(proxy.address())];
    std::thread::sleep(A_WHILE);
    // One under way: no Retry for the second.
    TestNode::start(65).dial(Some(bob.id), bob.address()).unwrap();
    assert_eq!(counters.refused(Refused::Retry), 0);

    stalled.push(peer.begin(proxy.address()));
    std::thread::sleep(A_WHILE);
    let begun = Instant::now();
    TestNode::start(66).dial(Some(bob.id), bob.address()).unwrap();
    assert_eq!(counters.refused(Refused::Retry), 1);
    assert_eq!(counters.refused(Refused::Handshakes), 0);
    assert!(begun.elapsed() < 5 * SECOND, "stalled handshakes delay nobody");
}

#[test]
fn an_address_begins_its_handshakes_then_proves_itself_then_is_refused() {
    let three = Rate {
        per_second: 0,
        burst: 3,
    };
    let limits = Limits {
        address_rates: AddressRates {
            loopback: Some(three),
            ..AddressRates::default()
        },
        ..Limits::default()
    };
    let bob = TestNode::start_within(67, 0, limits);
    let counters = bob.endpoint.counters();
    let counts = || {
        (
            counters.refused(Refused::AddressRate),
            counters.refused(Refused::Retry),
        )
    };
    // Every node is new, so that none has a token of an earlier connection.
    for seed in 68..71 {
        TestNode::start(seed).dial(Some(bob.id), bob.address()).unwrap();
    }
    assert_eq!(counts(), (0, 0));
    for (seed, past) in (71..74).zip(1..) {
        TestNode::start(seed).dial(Some(bob.id), bob.address()).unwrap();
        assert_eq!(counts(), (past, past));
    }
    let refused = TestNode::start(74).dial(Some(bob.id), bob.address()).unwrap_err();
    assert_eq!(refused.code(), "PEER_REFUSED", "{refused}");
    assert_eq!(counts(), (5, 4));
}

#[test]
fn a_peer_opens_32_streams_at_once_and_1024_when_it_uses_many() {
    let bob = TestNode::start(75);
    let peer = RawPeer::start(76, |_| {});
    let connection = peer.connect(bob.address());
    peer.run(async {
        let mut silent = Vec::new();
        // A stream is there for the other side once something was sent over it.
        for _ in 0..32 {
            let opened = timeout(SECOND, connection.open_bi()).await;
            silent.push(opened.expect("one of the first 32").unwrap());
        }
        let one_more = timeout(A_WHILE, connection.open_bi()).await;
        assert!(one_more.is_err(), "the 33rd has to wait");
        let mut streams = Vec::new();
        for (mut send, receive) in silent {
            send.write_all(&STREAM).await.unwrap();
            streams.push((send, receive));
        }
        while streams.len() < 1024 {
            let opened = open_in(10 * SECOND, &connection).await;
            streams.push(opened.expect("a stream can be opened"));
        }
        let one_more = open_in(A_WHILE, &connection).await;
        assert!(one_more.is_none(), "the 1,025th has to wait");
    });
    let opened = bob.drain(SECOND);
    let opened: Vec<u32> = opened.iter().filter_map(opened_stream).collect();
    assert_eq!(opened.len(), 1024);
    for stream in opened {
        bob.endpoint.reset(stream, 2u32.into());
    }
    let again = peer.run(open_in(10 * SECOND, &connection));
    assert!(again.is_some(), "a stream can be opened again");
}

fn opened_stream(event: &Event) -> Option<u32> {
    match event {
        Event::StreamOpened { stream, .. } => Some(*stream),
        _ => None,
    }
}

/// A new stream that has said what it is.
async fn open_in(time: Duration, connection: &Connection) -> Option<(quinn::SendStream, quinn::RecvStream)> {
    let (mut send, receive) = timeout(time, connection.open_bi()).await.ok()?.unwrap();
    send.write_all(&STREAM).await.unwrap();
    Some((send, receive))
}

#[test]
fn a_stream_says_in_time_what_it_is_or_is_reset() {
    let limits = Limits {
        stream_header_time: SECOND,
        ..Limits::default()
    };
    let bob = TestNode::start_within(77, 0, limits);
    let peer = RawPeer::start(78, |_| {});
    let connection = peer.connect(bob.address());
    let (_never, mut waiting) = peer.open(&connection, &STREAM[..3]);
    let (mut late, _still) = peer.open(&connection, &STREAM[..3]);
    std::thread::sleep(SECOND / 4);
    peer.run(late.write_all(&STREAM[3..])).unwrap();
    bob.wait(|event| matches!(event, Event::StreamOpened { .. }).then_some(()));
    let end = peer.run(async { timeout(10 * SECOND, waiting.read_to_end(100)).await.unwrap() });
    assert!(is_reset(&end), "{end:?}");
}

#[test]
fn a_request_comes_whole_in_time_or_is_reset() {
    let limits = Limits {
        request_body_time: SECOND,
        ..Limits::default()
    };
    let bob = TestNode::start_within(79, 0, limits);
    let peer = RawPeer::start(80, |_| {});
    let connection = peer.connect(bob.address());
    let (mut in_time, mut answer) = peer.open(&connection, &[&REQUEST[..], b"half"].concat());
    let (_never, mut waiting) = peer.open(&connection, &[&REQUEST[..], b"half"].concat());
    std::thread::sleep(SECOND / 4);
    peer.run(in_time.write_all(b"whole")).unwrap();
    in_time.finish().unwrap();
    bob.echo_one();
    assert_eq!(peer.run(answer.read_to_end(100)).unwrap(), b"\0halfwhole");
    let end = peer.run(async { timeout(10 * SECOND, waiting.read_to_end(100)).await.unwrap() });
    assert!(is_reset(&end), "{end:?}");
}

#[test]
fn the_longest_request_and_answer_pass_and_longer_ones_do_not() {
    let (alice, bob) = (TestNode::start(81), TestNode::start(82));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    let longest = vec![5; MAX_REQUEST_BYTES];
    alice.start_ask(link, &longest, 10 * SECOND);
    bob.echo_one();
    let answer = alice.wait(answered).unwrap();
    assert!(answer == longest);
    let error = alice.ask(link, &vec![5; MAX_REQUEST_BYTES + 1]).unwrap_err();
    assert_eq!(error.code(), "LIMIT_EXCEEDED");

    // A peer that sends more all the same is told.
    let peer = RawPeer::start(83, |_| {});
    let connection = peer.connect(bob.address());
    let (mut send, mut receive) = peer.open(&connection, &REQUEST);
    let told = peer.run(async {
        // It may be stopped before all is written.
        let _ = send.write_all(&vec![5; MAX_REQUEST_BYTES + 1]).await;
        receive.read_to_end(1000).await.unwrap()
    });
    assert!(told.starts_with(b"\x01LIMIT_EXCEEDED\0"), "{told:?}");

    for (most, given, is_taken) in [
        (1000, 1000, true),
        (1000, 1001, false),
        (MAX_RESPONSE_BYTES, MAX_RESPONSE_BYTES, true),
    ] {
        let question = Question {
            operation: 2,
            message: Bytes::from_static(&REQUEST),
            time: 10 * SECOND,
            max_response_bytes: most,
        };
        alice
            .endpoint
            .submit(vec![Command::Request { link, question }])
            .unwrap();
        answer_next(&bob, given);
        let result = alice.wait(answered).map(|answer| answer.len());
        match result {
            Ok(bytes) => assert!(is_taken && bytes == given),
            Err(error) => assert!(!is_taken && error.code() == "LIMIT_EXCEEDED", "{error}"),
        }
    }
}

#[test]
fn answers_that_nobody_takes_stop_further_requests_until_they_are_given_up() {
    let limits = Limits {
        answer_time: 4 * SECOND,
        ..Limits::default()
    };
    let bob = TestNode::start_within(84, 0, limits);
    // This peer lets hardly anything be sent to it.
    let peer = RawPeer::start(85, |transport| {
        transport.stream_receive_window(16u32.into());
    });
    let connection = peer.connect(bob.address());
    let mut open = Vec::new();
    // Four answers of 64 KiB with their status are exactly what may be under way at first.
    for _ in 0..5 {
        open.push(ask(&peer, &connection));
        answer_next(&bob, 65_535);
    }
    open.push(ask(&peer, &connection));
    let came = |event: &Event| matches!(event, Event::Request { .. });
    assert!(!bob.drain(SECOND).iter().any(came), "the sixth has to wait");
    bob.wait(|event| came(event).then_some(()));
}

#[test]
fn datagrams_that_the_owner_does_not_take_are_dropped_above_the_limit() {
    let (alice, bob) = (TestNode::start(86), TestNode::start(87));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    let counters = bob.endpoint.counters();
    // Each costs 256 bytes beyond its own.
    let fit = DATAGRAM_BUFFER / (1000 + 256);
    let dropped = || counters.refused(Refused::DatagramBytes);
    let mut sent = 0;
    while dropped() < 20 {
        assert!(alice.endpoint.send_datagram(link, 3, &[7; 1000]));
        sent += 1;
        std::thread::sleep(Duration::from_millis(1));
        assert!(sent < 1000, "nothing is dropped");
    }
    let taken = bob.drain(A_WHILE);
    let taken = taken
        .iter()
        .filter(|event| matches!(event, Event::Datagram { .. }));
    assert_eq!(taken.count(), fit);

    assert!(alice.endpoint.send_datagram(link, 3, b"one more"));
    bob.wait(|event| matches!(event, Event::Datagram { body, .. } if body == "one more").then_some(()));
}

/// A wire to `node` over which nothing comes back.
fn silent_to_clients(node: &TestNode) -> Proxy {
    let proxy = Proxy::start(node.address(), Conditions::default(), 1);
    proxy.to_client(|conditions| conditions.is_silent = true);
    proxy
}

fn ask(peer: &RawPeer, connection: &Connection) -> (quinn::SendStream, quinn::RecvStream) {
    let (mut send, receive) = peer.open(connection, &REQUEST);
    send.finish().unwrap();
    (send, receive)
}

fn answer_next(node: &TestNode, bytes: usize) {
    let request = node.wait(|event| match event {
        Event::Request { request, .. } => Some(*request),
        _ => None,
    });
    let answer = Ok(Bytes::from(vec![8; bytes]));
    node.endpoint
        .submit(vec![Command::Answer { request, answer }])
        .unwrap();
}

fn answered(event: &Event) -> Option<Result<Bytes, TransportError>> {
    match event {
        Event::Answered { operation: 2, result } => Some(result.clone()),
        _ => None,
    }
}

fn is_reset(end: &Result<Vec<u8>, quinn::ReadToEndError>) -> bool {
    matches!(end, Err(quinn::ReadToEndError::Read(ReadError::Reset(code))) if *code == 0u32.into())
}
