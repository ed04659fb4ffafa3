//! Two endpoints over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::time::{Duration, Instant};

use common::{TestNode, conditions::Conditions, is_free, proxy::Proxy};
use espalier_transport::{
    Read, Refusal, VarInt,
    endpoint::{Command, Endpoint, EndpointOptions},
    events::Event,
    limits::{MAX_REQUEST_BYTES, MAX_STREAM_BACKLOG},
};

#[test]
fn a_request_is_answered_by_the_node_that_was_dialled() {
    let (alice, bob) = (TestNode::start(1), TestNode::start(2));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    let (peer, outbound) = bob.wait(|event| match event {
        Event::LinkUp { peer, outbound, .. } => Some((*peer, *outbound)),
        _ => None,
    });
    assert_eq!((peer, outbound), (alice.id, false));

    for body in [&b""[..], b"x", &vec![5; MAX_REQUEST_BYTES]] {
        alice.start_ask(link, body, Duration::from_secs(10));
        assert_eq!(bob.echo_one(), 7);
        let answer = alice.wait(|event| match event {
            Event::Answered { result, .. } => Some(result.clone()),
            _ => None,
        });
        assert_eq!(answer.unwrap(), body);
    }
    let over = vec![5; MAX_REQUEST_BYTES + 1];
    assert_eq!(alice.ask(link, &over).unwrap_err().code(), "LIMIT_EXCEEDED");
    let stats = alice.endpoint.stats(link).unwrap();
    assert!(stats.bytes_sent > MAX_REQUEST_BYTES as u64);
    assert_eq!(alice.endpoint.negotiated().key_exchange, "MLKEM768");
    assert_eq!(alice.endpoint.negotiated().signature, "mldsa65");
    assert_eq!(
        alice.endpoint.negotiated().cipher_suite,
        "TLS_CHACHA20_POLY1305_SHA256"
    );
}

#[test]
fn another_node_than_the_expected_is_a_mismatch_and_nobody_is_unreachable() {
    let (alice, bob) = (TestNode::start(3), TestNode::start(4));
    assert_eq!(
        alice.dial(Some([9; 32]), bob.address()).unwrap_err().code(),
        "PEER_MISMATCH"
    );
    assert!(alice.dial(None, bob.address()).is_ok());

    let own = alice.dial(None, alice.address()).unwrap_err();
    assert_eq!(own.code(), "PEER_REFUSED");

    let addresses = vec![
        std::net::UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap(),
    ];
    let time = Duration::from_millis(300);
    let nobody = Command::Dial {
        operation: 1,
        expected: None,
        addresses,
        time,
        first: None,
    };
    let v6_only = "[::1]:9".parse().unwrap();
    let time = Duration::from_secs(5);
    let no_family = Command::Dial {
        operation: 1,
        expected: None,
        addresses: vec![v6_only],
        time,
        first: None,
    };
    for (command, code) in [(nobody, "TIMEOUT"), (no_family, "PEER_UNREACHABLE")] {
        alice.endpoint.submit(vec![command]).unwrap();
        let result = alice.wait(|event| match event {
            Event::Dialled { result, .. } => Some(result.clone()),
            _ => None,
        });
        assert_eq!(result.unwrap_err().code(), code);
    }
}

#[test]
fn two_nodes_that_dial_at_the_same_time_share_one_link() {
    let (alice, bob) = (TestNode::start(5), TestNode::start(6));
    for _ in 0..5 {
        alice.start_dial(Some(bob.id), bob.address());
        bob.start_dial(Some(alice.id), alice.address());
        let links: Vec<u32> = [&alice, &bob]
            .map(|node| {
                node.wait(|event| match event {
                    Event::Dialled { result, .. } => Some(result.clone().unwrap()),
                    _ => None,
                })
            })
            .into();

        alice.start_ask(links[0], b"over the survivor", Duration::from_secs(5));
        bob.echo_one();
        alice.wait(|event| match event {
            Event::Answered { result, .. } => Some(result.clone().unwrap()),
            _ => None,
        });
        // Longer than the superfluous connection lives: the link must outlive it.
        let later = alice.drain(Duration::from_millis(1500));
        assert!(
            !later
                .iter()
                .any(|event| matches!(event, Event::LinkClosed { .. })),
            "{later:?}"
        );
        alice.start_ask(links[0], b"again", Duration::from_secs(5));
        bob.echo_one();

        alice
            .endpoint
            .submit(vec![Command::CloseLink {
                link: links[0],
                code: VarInt::from_u32(0),
            }])
            .unwrap();
        for node in [&alice, &bob] {
            node.wait(|event| matches!(event, Event::LinkClosed { .. }).then_some(()));
        }
    }
}

#[test]
fn a_caller_that_gives_up_or_runs_out_of_time_is_noticed_by_the_other_side() {
    let (alice, bob) = (TestNode::start(7), TestNode::start(8));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();

    let late = alice.ask_within(link, b"never answered", Duration::from_millis(100));
    assert_eq!(late.unwrap_err().code(), "TIMEOUT");
    let cancelled = |node: &TestNode| {
        node.wait(|event| match event {
            Event::RequestCancelled { request } => Some(*request),
            _ => None,
        })
    };
    let request = cancelled(&bob);
    // An answer that comes too late is nothing to fail over.
    bob.endpoint
        .submit(vec![Command::Answer {
            request,
            answer: Ok("late".into()),
        }])
        .unwrap();

    alice.start_ask(link, b"given up", Duration::from_secs(10));
    bob.wait(|event| matches!(event, Event::Request { .. }).then_some(()));
    alice
        .endpoint
        .submit(vec![Command::Cancel { operation: 2 }])
        .unwrap();
    let result = alice.wait(|event| match event {
        Event::Answered { result, .. } => Some(result.clone()),
        _ => None,
    });
    assert_eq!(result.unwrap_err().code(), "ABORTED");
    cancelled(&bob);
}

#[test]
fn a_refusal_travels_as_code_and_text() {
    let (alice, bob) = (TestNode::start(9), TestNode::start(10));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    alice.start_ask(link, b"?", Duration::from_secs(10));
    let request = bob.wait(|event| match event {
        Event::Request { request, .. } => Some(*request),
        _ => None,
    });
    let refusal = Refusal {
        code: "NOT_FOUND".to_owned(),
        message: "nobody has it".to_owned(),
    };
    bob.endpoint
        .submit(vec![Command::Answer {
            request,
            answer: Err(refusal),
        }])
        .unwrap();
    let error = alice.wait(|event| match event {
        Event::Answered { result, .. } => Some(result.clone().unwrap_err()),
        _ => None,
    });
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        ("NOT_FOUND", "nobody has it")
    );
}

#[test]
fn a_stream_carries_bytes_exactly_with_back_pressure_half_close_and_reset() {
    let (alice, bob) = (TestNode::start(11), TestNode::start(12));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    let mine = alice.open_stream(link).unwrap();
    let opened = |node: &TestNode| {
        node.wait(|event| match event {
            Event::StreamOpened { stream, protocol, .. } => Some((*stream, *protocol)),
            _ => None,
        })
    };
    let (theirs, protocol) = opened(&bob);
    assert_eq!(protocol, 9);

    let sent: Vec<u8> = (0..40_000_000_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            for piece in sent.chunks(300_000) {
                if alice.endpoint.write(mine, piece).unwrap() {
                    alice.wait(|event| matches!(event, Event::StreamWritable { .. }).then_some(()));
                }
            }
            alice.endpoint.finish(mine, 4).unwrap();
        });
        read_all(&bob, theirs)
    });
    assert!(received == sent, "the bytes differ");
    assert_eq!(alice.endpoint.write(mine, b"x").unwrap_err().code(), "CLOSED");

    // The other direction is still open.
    bob.endpoint.write(theirs, b"thanks").unwrap();
    bob.endpoint.finish(theirs, 5).unwrap();
    assert_eq!(read_all(&alice, mine), b"thanks");

    let mine = alice.open_stream(link).unwrap();
    let (theirs, _) = opened(&bob);
    let backlog = vec![0; MAX_STREAM_BACKLOG];
    assert!(alice.endpoint.write(mine, &backlog).unwrap());
    assert_eq!(
        alice.endpoint.write(mine, &backlog).unwrap_err().code(),
        "LIMIT_EXCEEDED"
    );
    alice.endpoint.reset(mine, VarInt::from_u32(77));
    let error = loop {
        let mut target = vec![0; 65_536];
        match bob.endpoint.read(theirs, &mut target) {
            Ok(Read::Wait) => bob.wait(|event| matches!(event, Event::StreamReadable { .. }).then_some(())),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "STREAM_RESET");
    assert!(error.to_string().contains("77"));
}

#[test]
fn a_datagram_arrives_and_one_too_large_is_told() {
    let (alice, bob) = (TestNode::start(13), TestNode::start(14));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    bob.wait(|event| matches!(event, Event::LinkUp { .. }).then_some(()));
    assert!(alice.endpoint.send_datagram(link, 0x0304, b"short"));
    let body = bob.wait(|event| match event {
        Event::Datagram {
            protocol: 0x0304,
            body,
            ..
        } => Some(body.clone()),
        _ => None,
    });
    assert_eq!(body, &b"short"[..]);
    assert!(!alice.endpoint.send_datagram(link, 1, &[0; 10_000]));
    assert!(!alice.endpoint.send_datagram(link + 1000, 1, b"nobody"));
}

#[test]
fn closing_frees_the_port_and_tells_everything_that_waits() {
    let (alice, bob) = (TestNode::start(15), TestNode::start(16));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    alice.start_ask(link, b"?", Duration::from_secs(10));
    bob.wait(|event| matches!(event, Event::Request { .. }).then_some(()));
    let address = alice.address();
    assert!(!is_free(address));

    let started = Instant::now();
    alice.endpoint.close_and_wait();
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(is_free(address));
    let events = alice.drain(Duration::ZERO);
    let answered = events.iter().find_map(|event| match event {
        Event::Answered { result, .. } => Some(result.clone()),
        _ => None,
    });
    assert!(
        matches!(answered, Some(Err(ref error)) if ["CLOSED", "CONNECTION_LOST"].contains(&error.code()))
    );
    assert!(matches!(events.last(), Some(Event::Closed)));
    assert_eq!(alice.endpoint.submit(Vec::new()).unwrap_err().code(), "CLOSED");
    // The other side hears it at once, not after its idle time.
    bob.wait(|event| matches!(event, Event::LinkClosed { .. }).then_some(()));
}

#[test]
fn a_node_that_was_killed_and_restarted_is_known_to_be_gone_at_once() {
    let (alice, bob) = (TestNode::start(17), TestNode::start(18));
    let proxy = Proxy::start(bob.address(), Conditions::default(), 1);
    let link = alice.dial(Some(bob.id), proxy.address()).unwrap();
    // An answer confirms the handshake: before, a client repeats packets that no reset may answer.
    alice.start_ask(link, b"are you there?", Duration::from_secs(5));
    bob.echo_one();
    alice.wait(|event| matches!(event, Event::Answered { .. }).then_some(()));
    // As if killed: its goodbye does not arrive. It comes back with the same identity.
    proxy.to_client(|wire| wire.is_silent = true);
    bob.endpoint.close_and_wait();
    let bob = TestNode::start(18);
    proxy.redirect(bob.address());
    proxy.to_client(|wire| wire.is_silent = false);

    let started = Instant::now();
    let error = alice.ask(link, b"still there?").unwrap_err();
    assert_eq!(error.code(), "CONNECTION_LOST");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let link = alice.dial(Some(bob.id), proxy.address()).unwrap();
    alice.start_ask(link, b"and now?", Duration::from_secs(5));
    bob.echo_one();
}

#[test]
fn an_occupied_port_and_foreign_addresses_are_refused_by_name() {
    let alice = TestNode::start(19);
    let open = |hosts: &[&str], port: u16| {
        let key = std::sync::Arc::new(espalier_core::sign::SigningKey::from_seed(&[20; 32]).unwrap());
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let options = EndpointOptions {
            key,
            hosts,
            port,
            accepts: true,
            resumes: true,
        };
        Endpoint::open(options, common::no_sink())
            .err()
            .map(|error| (error.code().to_owned(), error.to_string()))
    };
    let (code, text) = open(&["127.0.0.1"], alice.address().port()).unwrap();
    assert_eq!(code, "INVALID_ARGUMENT");
    assert!(text.contains(&alice.address().to_string()), "{text}");
    assert_eq!(open(&["192.0.2.1"], 0).unwrap().0, "INVALID_ARGUMENT");
    assert_eq!(open(&[], 0).unwrap().0, "INVALID_ARGUMENT");
    assert_eq!(
        open(&["127.0.0.1", "127.0.0.2"], 0).unwrap().0,
        "INVALID_ARGUMENT"
    );
    assert_eq!(open(&["127.0.0.1", "::1"], 0), None);
}

fn read_all(node: &TestNode, stream: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut target = vec![0; 262_144];
    loop {
        match node.endpoint.read(stream, &mut target).unwrap() {
            Read::Bytes(count) => bytes.extend_from_slice(&target[..count]),
            Read::Wait => node.wait(|event| matches!(event, Event::StreamReadable { .. }).then_some(())),
            Read::End => return bytes,
        }
    }
}
