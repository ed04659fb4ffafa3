//! Requests before the handshake is done (0-RTT): for what may be answered twice, and for nothing else.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use common::{TestNode, conditions::Conditions, proxy::Proxy, wait_until};
use espalier_core::sign::SigningKey;
use espalier_transport::{
    counters::Refused,
    endpoint::{Command, Question},
    error::TransportError,
    events::Event,
    limits::FIRST_HELD_BYTES,
    tls,
};
use quinn::{Connecting, TransportConfig};
use tokio::runtime::Runtime;

const REQUEST: u8 = 1;
const IDEMPOTENT: u8 = 3;
/// Handshakes that are not done by then are dropped.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

#[test]
fn a_resumed_session_carries_an_idempotent_request_in_its_first_flight() {
    let (alice, bob) = (TestNode::start(40), TestNode::start(41));
    let proxy = wire_to(&bob);

    // Without a session the request has to wait for the handshake.
    let (link, asked) = dial_and_ask(&alice, &bob, &proxy, IDEMPOTENT);
    assert!(matches!(asked, Asked::OverLink), "{asked:?}");
    forget(&alice, &bob, link);

    for _ in 0..3 {
        let (link, asked) = dial_and_ask(&alice, &bob, &proxy, IDEMPOTENT);
        assert!(
            matches!(&asked, Asked::Early { peer } if *peer == alice.id),
            "{asked:?}"
        );
        forget(&alice, &bob, link);
    }

    let counted = |node: &TestNode, name: &str| {
        let figures = node.endpoint.figures();
        figures.into_iter().find(|(known, _)| known == name).unwrap().1
    };
    assert_eq!(counted(&alice, "count.early_data.accepted"), 3);
    assert_eq!(counted(&alice, "count.handshakes.outbound.full"), 1);
    assert_eq!(counted(&alice, "count.handshakes.outbound.resumed"), 3);
    assert_eq!(counted(&bob, "count.early_requests"), 3);
    assert_eq!(counted(&bob, "count.handshakes.inbound.resumed"), 3);
}

#[test]
fn other_requests_wait_for_the_handshake() {
    let (alice, bob) = (TestNode::start(42), TestNode::start(43));
    let proxy = wire_to(&bob);
    for _ in 0..3 {
        let (link, asked) = dial_and_ask(&alice, &bob, &proxy, REQUEST);
        assert!(matches!(asked, Asked::OverLink), "{asked:?}");
        forget(&alice, &bob, link);
    }
}

#[test]
fn a_server_that_has_forgotten_the_session_is_asked_after_the_handshake() {
    let (alice, bob) = (TestNode::start(44), TestNode::start(45));
    let proxy = wire_to(&bob);
    let (link, _) = dial_and_ask(&alice, &bob, &proxy, IDEMPOTENT);
    forget(&alice, &bob, link);
    let port = bob.address().port();
    bob.endpoint.close_and_wait();
    let bob = TestNode::start_on(45, port);
    let (_, asked) = dial_and_ask(&alice, &bob, &proxy, IDEMPOTENT);
    assert!(matches!(asked, Asked::OverLink), "{asked:?}");
    let rejected = ("count.early_data.rejected".to_owned(), 1);
    assert!(alice.endpoint.figures().contains(&rejected));
}

#[test]
fn a_request_that_goes_with_a_failing_dial_fails_with_it() {
    let alice = TestNode::start(46);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let command = dial(
        None,
        silent.local_addr().unwrap(),
        IDEMPOTENT,
        Duration::from_millis(300),
    );
    alice.endpoint.submit(vec![command]).unwrap();
    assert_eq!(answer(&alice).unwrap_err().code(), "TIMEOUT");

    // Given up by its caller, the dial takes the request along.
    let command = dial(
        None,
        silent.local_addr().unwrap(),
        IDEMPOTENT,
        Duration::from_secs(5),
    );
    let cancel = Command::Cancel { operation: 1 };
    alice.endpoint.submit(vec![command, cancel]).unwrap();
    assert_eq!(answer(&alice).unwrap_err().code(), "ABORTED");
}

/// A peer that flags nothing and sends everything early, and an eavesdropper that plays its packets again.
#[test]
fn early_requests_of_another_kind_and_replayed_ones_are_not_delivered() {
    let bob = TestNode::start(47);
    let runtime = runtime();
    let key = Arc::new(SigningKey::from_seed(&[48; 32]).unwrap());
    let client = tls::configs(&key, true).unwrap().client;
    let tap = UdpSocket::bind("127.0.0.1:0").unwrap();
    tap.set_read_timeout(Some(Duration::from_secs(10))).unwrap();

    let packets = runtime.block_on(async {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connect = |to: SocketAddr| {
            endpoint
                .connect_with(client.clone(), to, "any-node.invalid")
                .unwrap()
        };
        get_session(connect(bob.address()), &bob).await;

        let Ok((early, _done)) = connect(tap.local_addr().unwrap()).into_0rtt() else {
            panic!("a session is resumed");
        };
        let mut open = Vec::new();
        for kind in [REQUEST, IDEMPOTENT] {
            let (mut send, receive) = early.open_bi().await.unwrap();
            send.write_all(&message(kind)).await.unwrap();
            send.finish().unwrap();
            open.push(receive);
        }
        let mut packets = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok(length) = tap.recv(&mut buffer) {
            packets.push(buffer[..length].to_vec());
            // The rest of the flight is on its way; what comes later is sent again.
            tap.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        }
        packets
    });
    // The early one may share the second packet with the rest of the hello.
    assert!(
        packets.len() >= 2,
        "a hello takes two packets, not {}",
        packets.len()
    );
    bob.drain(Duration::from_millis(100));

    let play = || {
        let player = UdpSocket::bind("127.0.0.1:0").unwrap();
        for packet in &packets {
            player.send_to(packet, bob.address()).unwrap();
        }
    };
    // The first time the session is there: what may be answered twice is delivered, the other waits for a
    // handshake that nobody can finish.
    play();
    let events = bob.drain(HANDSHAKE_TIME + Duration::from_secs(1));
    assert_eq!(requests(&events), ["early"]);
    // Its connection ends with the time for a handshake, although the request still waits.
    let is_cancelled = |event: &Event| matches!(event, Event::RequestCancelled { .. });
    assert!(events.iter().any(is_cancelled), "{events:?}");
    // A session is good for one handshake.
    for _ in 0..3 {
        play();
    }
    let delivered = requests(&bob.drain(Duration::from_secs(1)));
    assert_eq!(delivered, [""; 0]);
}

/// A peer that asks early as often as it may, and reads nothing.
#[test]
fn answers_to_early_requests_count_as_those_of_their_connection() {
    const STREAMS: usize = 32;
    const ANSWER_BYTES: usize = 200_000;
    let bob = TestNode::start(57);
    let proxy = wire_to(&bob);
    let runtime = runtime();
    let key = Arc::new(SigningKey::from_seed(&[58; 32]).unwrap());
    let mut client = tls::configs(&key, true).unwrap().client;
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(100u32.into());
    client.transport_config(Arc::new(transport));
    let entered = runtime.enter();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    drop(entered);
    let connect = || {
        let connecting = endpoint.connect_with(client.clone(), proxy.address(), "any-node.invalid");
        connecting.unwrap()
    };
    let _asked = runtime.block_on(async {
        get_session(connect(), &bob).await;
        let Ok((early, _done)) = connect().into_0rtt() else {
            panic!("a session is resumed");
        };
        let mut open = Vec::new();
        for _ in 0..STREAMS {
            let (mut send, receive) = early.open_bi().await.unwrap();
            send.write_all(&message(IDEMPOTENT)).await.unwrap();
            send.finish().unwrap();
            open.push(receive);
        }
        (early, open)
    });

    let asked = (0..STREAMS).map(|_| {
        bob.wait(|event| match event {
            Event::EarlyRequest { request, .. } => Some((*request, true)),
            Event::Request { request, .. } => Some((*request, false)),
            _ => None,
        })
    });
    let asked: Vec<(u32, bool)> = asked.collect();
    let early = asked.iter().filter(|(_, is_early)| *is_early).count();
    let answers = asked.into_iter().map(|(request, _)| Command::Answer {
        request,
        answer: Ok(Bytes::from(vec![7; ANSWER_BYTES])),
    });
    bob.endpoint.submit(answers.collect()).unwrap();

    let may_wait = FIRST_HELD_BYTES / ANSWER_BYTES;
    assert!(early > 2 * may_wait, "{early} requests came early");
    let refused = || bob.endpoint.counters().refused(Refused::AnswerBytes);
    wait_until("refusals", || refused() == (STREAMS - may_wait) as u64);
}

#[derive(Debug)]
enum Asked {
    Early { peer: [u8; 32] },
    OverLink,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// The session comes before an answer to what was asked after the handshake.
async fn get_session(connecting: Connecting, bob: &TestNode) {
    let connection = connecting.await.unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&message(REQUEST)).await.unwrap();
    send.finish().unwrap();
    bob.echo_one();
    receive.read_to_end(100).await.unwrap();
    connection.close(0u32.into(), b"");
}

/// Without distance the handshake may be done before anything is served.
fn wire_to(node: &TestNode) -> Proxy {
    Proxy::start(node.address(), Conditions::delay(20), 1)
}

/// Dials over a wire of some length with a first question; bob answers it with its own body. Answers the link and how bob was asked.
fn dial_and_ask(alice: &TestNode, bob: &TestNode, proxy: &Proxy, kind: u8) -> (u32, Asked) {
    let command = dial(Some(bob.id), proxy.address(), kind, Duration::from_secs(10));
    alice.endpoint.submit(vec![command]).unwrap();
    let mut is_up = false;
    let (request, asked) = loop {
        let seen = bob.wait(|event| match event {
            Event::LinkUp { .. } => Some(None),
            Event::Request { request, body, .. } => Some(Some((*request, Asked::OverLink, body.clone()))),
            Event::EarlyRequest {
                request, peer, body, ..
            } => Some(Some((*request, Asked::Early { peer: *peer }, body.clone()))),
            _ => None,
        });
        let Some((request, asked, body)) = seen else {
            is_up = true;
            continue;
        };
        assert_eq!(body, "what?");
        // Early means before the handshake is done.
        assert_eq!(is_up, matches!(asked, Asked::OverLink));
        break (request, asked);
    };
    bob.endpoint
        .submit(vec![Command::Answer {
            request,
            answer: Ok(Bytes::from_static(b"that")),
        }])
        .unwrap();
    let (mut link, mut answered) = (None, false);
    while link.is_none() || !answered {
        alice
            .wait(|event| match event {
                Event::Dialled { result, .. } => Some(Some(result.clone().unwrap())),
                Event::Answered { operation: 2, result } => {
                    assert_eq!(result.as_ref().unwrap(), "that");
                    Some(None)
                }
                _ => None,
            })
            .map_or_else(|| answered = true, |up| link = Some(up));
    }
    (link.unwrap(), asked)
}

/// Ends the link on both sides, once the session that it gives has come.
fn forget(alice: &TestNode, bob: &TestNode, link: u32) {
    alice.start_ask(link, b"", Duration::from_secs(10));
    bob.echo_one();
    answer(alice).unwrap();
    alice
        .endpoint
        .submit(vec![Command::CloseLink {
            link,
            code: 0u32.into(),
        }])
        .unwrap();
    bob.wait(|event| matches!(event, Event::LinkClosed { .. }).then_some(()));
}

fn dial(expected: Option<[u8; 32]>, address: SocketAddr, kind: u8, time: Duration) -> Command {
    Command::Dial {
        operation: 1,
        expected,
        addresses: vec![address],
        time,
        first: Some(Question {
            operation: 2,
            message: message(kind),
            time,
            max_response_bytes: 1000,
        }),
    }
}

fn message(kind: u8) -> Bytes {
    let mut message = BytesMut::new();
    message.put_slice(&[kind, 1, 7, 0]);
    message.put_slice(b"what?");
    message.freeze()
}

fn answer(node: &TestNode) -> Result<Bytes, TransportError> {
    node.wait(|event| match event {
        Event::Answered { operation: 2, result } => Some(result.clone()),
        _ => None,
    })
}

fn requests(events: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::EarlyRequest { .. } => Some("early"),
        Event::Request { .. } => Some("request"),
        _ => None,
    };
    events.iter().filter_map(name).collect()
}
