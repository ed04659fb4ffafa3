//! What peers can make this process hold: the budget that all endpoints share, and what one connection may.
//! The budget is one for the process, so these tests run one at a time.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use common::{
    TestNode,
    conditions::Conditions,
    proxy::Proxy,
    raw::{REQUEST, RawPeer, STREAM},
};
use espalier_transport::{
    Read, TrafficClass, VarInt,
    budget::{self, Held},
    counters::Refused,
    endpoint::{Command, Question},
    events::Event,
    limits::{FIRST_WINDOW, MAX_REQUEST_BYTES, READ_AHEAD, READ_AHEAD_RESERVE, STARTING_WINDOW},
};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);
/// One read of the network may take so much more than there was room for: one piece of each stream.
const LARGEST_PIECE: usize = 6500;

static ALONE: Mutex<()> = Mutex::new(());

/// Nothing is held before, and nothing may be after.
fn alone() -> MutexGuard<'static, ()> {
    let guard = ALONE.lock();
    budget::set(budget::DEFAULT_BYTES);
    until("nothing is held at the start", || {
        budget::held() == Held::default()
    });
    guard
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < 20 * SECOND, "{what}: {:?}", budget::held());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_peer_that_fills_everything_and_is_never_read_pins_less_than_two_mebibytes() {
    let _alone = alone();
    let bob = TestNode::start(100);
    let peer = RawPeer::start(101, |transport| {
        transport.send_window(64 << 20);
    });
    let connection = peer.connect(bob.address());
    let rubbish = vec![7; 1 << 20];
    let mut streams = Vec::new();
    for turn in 0..2000 {
        // Streams that nobody reads, and requests that nobody answers or that never end.
        let (header, most) = if turn % 2 == 0 {
            (&STREAM, 1 << 20)
        } else {
            (&REQUEST, MAX_REQUEST_BYTES)
        };
        let opened = peer.run(async {
            for _ in 0..10 {
                let _ = connection.send_datagram(Bytes::from(vec![7; 1000]));
            }
            let opening = async {
                let (mut send, receive) = connection.open_bi().await.unwrap();
                send.write_all(header).await.unwrap();
                (send, receive)
            };
            let (mut send, receive) = timeout(SECOND / 5, opening).await.ok()?;
            let _ = timeout(SECOND / 50, send.write_all(&rubbish[..most])).await;
            if turn % 4 == 1 {
                let _ = send.finish();
            }
            Some((send, receive))
        });
        let Some(opened) = opened else { break };
        streams.push(opened);
    }
    println!("{} streams", streams.len());
    let received = || connection.stats().udp_tx.bytes;
    let mut before = 0;
    until("the peer can send no more", || {
        let now = received();
        std::thread::sleep(SECOND);
        now - std::mem::replace(&mut before, now) < 20_000
    });
    let held = budget::held();
    println!("held of one peer: {held:?}, {} bytes came", received());
    let window = FIRST_WINDOW - STARTING_WINDOW;
    assert_eq!(
        held.receive, window,
        "the window grows once, for what nobody takes"
    );
    let ahead = held.read_ahead + held.requests;
    let most = READ_AHEAD + READ_AHEAD_RESERVE + MAX_REQUEST_BYTES + 32 * LARGEST_PIECE;
    assert!(ahead > READ_AHEAD as u64 / 2 && ahead <= most as u64);
    assert!(STARTING_WINDOW + held.total() < 2 << 20);
    drop((streams, connection, peer));
}

#[test]
fn a_stream_that_is_not_read_stops_no_request_of_its_connection() {
    let _alone = alone();
    let (alice, bob) = (TestNode::start(102), TestNode::start(103));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    let stream = alice.open_stream(link).unwrap();
    for _ in 0..64 {
        let _ = alice.endpoint.write(stream, &vec![3; 64 << 10]).unwrap();
    }
    let unread = bob.wait(opened);
    until("it is read ahead", || {
        budget::held().read_ahead >= READ_AHEAD as u64 / 2
    });
    std::thread::sleep(SECOND / 2);
    for size in [10, 10_000] {
        alice.start_ask(link, &vec![1; size], 5 * SECOND);
        bob.echo_one();
        let length = alice.wait(|event| match event {
            Event::Answered { result, .. } => Some(result.as_ref().unwrap().len()),
            _ => None,
        });
        assert_eq!(length, size);
    }
    assert_eq!(read_all(&bob, unread, 64 * (64 << 10)), 64 * (64 << 10));
}

#[test]
fn a_fast_peer_that_is_read_gets_larger_windows_and_gives_them_back() {
    let _alone = alone();
    let (alice, bob) = (TestNode::start(104), TestNode::start(105));
    let proxy = Proxy::start(bob.address(), Conditions::delay(20), 1);
    let link = alice.dial(Some(bob.id), proxy.address()).unwrap();
    let stream = alice.open_stream(link).unwrap();
    let total = 24 << 20;
    let writer = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_all(&alice, stream, total));
        let from = bob.wait(opened);
        let mut largest = 0;
        let mut got = 0;
        while got < total {
            got += read_all(&bob, from, (1 << 20).min(total - got));
            largest = largest.max(budget::held().receive);
        }
        assert!(largest > FIRST_WINDOW, "{largest}");
        writer.join()
    });
    writer.unwrap();
    alice
        .endpoint
        .submit(vec![Command::CloseLink {
            link,
            code: VarInt::from_u32(0),
        }])
        .unwrap();
}

#[test]
fn the_budget_takes_the_last_request_that_fits_and_refuses_one_more_byte() {
    let _alone = alone();
    let (alice, bob) = (TestNode::start(106), TestNode::start(107));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    // Alice's own message is counted too until it is acknowledged: a raw peer's is not.
    let peer = RawPeer::start(108, |_| {});
    let connection = peer.connect(bob.address());
    until("nothing is held", || budget::held() == Held::default());
    budget::set(10_000);
    let ask = |bytes: usize| {
        let (mut send, receive) = peer.open(&connection, &[&REQUEST[..], &vec![2; bytes]].concat());
        send.finish().unwrap();
        receive
    };
    let mut first = ask(10_000);
    let request = bob.wait(|event| match event {
        Event::Request { request, body, .. } if body.len() == 10_000 => Some(*request),
        _ => None,
    });
    assert_eq!(budget::held().requests, 10_000);
    let mut second = ask(1);
    let told = peer.run(second.read_to_end(1000)).unwrap();
    assert!(told.starts_with(b"\x01RATE_LIMITED\0"), "{told:?}");
    assert_eq!(
        bob.endpoint.counters().refused(Refused::Memory),
        2,
        "the body, and the answer that says so"
    );

    let answer = Ok(Bytes::from_static(b"done"));
    bob.endpoint
        .submit(vec![Command::Answer { request, answer }])
        .unwrap();
    let _ = peer.run(first.read_to_end(1000)).unwrap();
    until("all is given back", || budget::held() == Held::default());
    let mut one_more = ask(10_001);
    let told = peer.run(one_more.read_to_end(1000)).unwrap();
    assert!(told.starts_with(b"\x01RATE_LIMITED\0"), "{told:?}");

    // What is short now was only short for a while.
    budget::set(budget::DEFAULT_BYTES);
    alice.start_ask(link, &vec![4; 20_000], 5 * SECOND);
    bob.echo_one();
    alice.wait(|event| matches!(event, Event::Answered { result: Ok(_), .. }).then_some(()));
}

#[test]
fn without_a_budget_windows_stay_small_and_bytes_still_flow() {
    let _alone = alone();
    budget::set(100_000);
    let (alice, bob) = (TestNode::start(109), TestNode::start(110));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    let stream = alice.open_stream(link).unwrap();
    let total = 4 << 20;
    std::thread::scope(|scope| {
        scope.spawn(|| write_all(&alice, stream, total));
        let from = bob.wait(opened);
        let mut got = 0;
        while got < total {
            got += read_all(&bob, from, (64 << 10).min(total - got));
            assert_eq!(budget::held().receive, 0, "no window may grow");
        }
    });
}

#[test]
fn whatever_is_broken_off_gives_back_every_byte() {
    let _alone = alone();
    for seed in 0..6 {
        let (alice, bob) = (TestNode::start(111), TestNode::start(112));
        let link = alice.dial(Some(bob.id), bob.address()).unwrap();
        let back = bob.wait(|event| match event {
            Event::LinkUp { link, .. } => Some(*link),
            _ => None,
        });
        chaos(&alice, &bob, link, seed);
        assert_ne!(
            budget::held(),
            Held::default(),
            "something is held in the midst of it"
        );
        for (node, link) in [(&alice, link), (&bob, back)] {
            let code = VarInt::from_u32(0);
            node.endpoint
                .submit(vec![Command::CloseLink { link, code }])
                .unwrap();
        }
        // What nobody has taken out of the queue is held by it; a stream holds what it has until its owner lets go.
        until("every byte is given back", || {
            alice.drain(Duration::ZERO);
            for stream in bob.drain(Duration::ZERO).iter().filter_map(opened) {
                bob.endpoint.reset(stream, VarInt::from_u32(0));
            }
            budget::held() == Held::default()
        });
    }
}

/// Opens, writes, reads, resets, ends, asks, answers, gives up and sends in an order that `seed` tells.
fn chaos(alice: &TestNode, bob: &TestNode, link: u32, seed: u64) {
    let mut number = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut random = move |below: usize| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) as usize % below
    };
    let (mut ours, mut theirs, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    for operation in 100..1100 {
        match random(9) {
            0 => {
                let (class, time) = (TrafficClass::new(4).unwrap(), 5 * SECOND);
                let protocol = 9;
                let open = Command::OpenStream {
                    operation,
                    link,
                    class,
                    protocol,
                    time,
                };
                alice.endpoint.submit(vec![open]).unwrap();
            }
            1 | 2 if !ours.is_empty() => {
                let stream = ours[random(ours.len())];
                let _ = alice.endpoint.write(stream, &vec![1; random(300_000)]);
            }
            3 if !theirs.is_empty() => {
                let stream = theirs[random(theirs.len())];
                let _ = bob.endpoint.read(stream, &mut vec![0; random(300_000) + 1]);
            }
            4 if !ours.is_empty() => {
                let stream = ours.swap_remove(random(ours.len()));
                if random(2) == 0 {
                    alice.endpoint.reset(stream, VarInt::from_u32(7));
                } else {
                    let _ = alice.endpoint.finish(stream, operation);
                }
            }
            5 if !theirs.is_empty() => {
                let stream = theirs.swap_remove(random(theirs.len()));
                bob.endpoint.reset(stream, VarInt::from_u32(7));
            }
            6 => {
                let mut message = BytesMut::from(&REQUEST[..]);
                message.resize(4 + random(MAX_REQUEST_BYTES), 1);
                let question = Question {
                    operation,
                    message: message.freeze(),
                    time: 5 * SECOND,
                    max_response_bytes: 1 << 20,
                };
                alice
                    .endpoint
                    .submit(vec![Command::Request { link, question }])
                    .unwrap();
                if random(4) == 0 {
                    alice
                        .endpoint
                        .submit(vec![Command::Cancel { operation }])
                        .unwrap();
                }
            }
            7 if !requests.is_empty() => {
                let request = requests.swap_remove(random(requests.len()));
                let answer = Ok(Bytes::from(vec![5; random(600_000)]));
                bob.endpoint
                    .submit(vec![Command::Answer { request, answer }])
                    .unwrap();
            }
            _ => {
                let _ = alice.endpoint.send_datagram(link, 3, &[6; 900]);
            }
        }
        for event in alice.drain(Duration::ZERO) {
            if let Event::StreamDone {
                result: Ok(stream), ..
            } = event
            {
                ours.push(stream);
            }
        }
        for event in bob.drain(Duration::from_micros(200)) {
            match event {
                Event::StreamOpened { stream, .. } => theirs.push(stream),
                Event::Request { request, .. } => requests.push(request),
                _ => {}
            }
        }
    }
    for stream in theirs {
        bob.endpoint.reset(stream, VarInt::from_u32(0));
    }
}

fn opened(event: &Event) -> Option<u32> {
    match event {
        Event::StreamOpened { stream, .. } => Some(*stream),
        _ => None,
    }
}

/// Reads `total` bytes and answers how many came before the end.
fn read_all(node: &TestNode, stream: u32, total: usize) -> usize {
    let mut target = vec![0; 64 << 10];
    let mut got = 0;
    while got < total {
        let most = target.len().min(total - got);
        match node.endpoint.read(stream, &mut target[..most]).unwrap() {
            Read::Bytes(count) => got += count,
            Read::End => return got,
            Read::Wait => node.wait(|event| matches!(event, Event::StreamReadable { .. }).then_some(())),
        }
    }
    got
}

fn write_all(node: &TestNode, stream: u32, total: usize) {
    let mut left = total;
    while left > 0 {
        let count = left.min(64 << 10);
        let has_to_wait = node.endpoint.write(stream, &vec![9; count]).unwrap();
        left -= count;
        if has_to_wait && left > 0 {
            node.wait(|event| matches!(event, Event::StreamWritable { .. }).then_some(()));
        }
    }
}
