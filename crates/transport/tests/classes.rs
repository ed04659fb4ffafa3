//! Traffic classes have strict priority, and datagrams wait for no stream.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use common::{
    conditions::{Conditions, Rate},
    peer::{Peer, pattern},
    proxy::Proxy,
};

use espalier_transport::limits::MAX_STALLED_STREAMS;

/// Longer than anything here takes by itself.
const PATIENCE: Duration = Duration::from_mins(1);
/// Of which the second slowest is looked at.
const REQUESTS: usize = 200;
const CONTROL: u8 = 0;
const BULK: u8 = 4;
const BITS_PER_SECOND: u64 = 20_000_000;
/// The bottleneck's own queue is nothing that a sender could overtake in: it is short.
const QUEUE_BYTES: u64 = 25_000;
const ONE_WAY_MILLISECONDS: u64 = 20;
/// What quinn sends at once: ten packets of a path with Ethernet's size.
const TRAIN_BYTES: u64 = 10 * 1452;

/// A narrow way with Ethernet's packet size.
fn narrow() -> Conditions {
    Conditions {
        rate: Some(Rate {
            bits_per_second: BITS_PER_SECOND,
            queue_bytes: QUEUE_BYTES,
        }),
        largest_bytes: 1472,
        ..Conditions::delay(ONE_WAY_MILLISECONDS)
    }
}

fn time_of(bytes: u64) -> Duration {
    Duration::from_nanos(bytes * 8 * 1_000_000_000 / BITS_PER_SECOND)
}

/// Which way the bulk streams go.
#[derive(Clone, Copy, Debug)]
enum Bulk {
    WithTheRequest,
    WithTheAnswer,
}

#[test]
fn bulk_that_goes_with_control_requests_delays_them_by_a_train_at_most() {
    control_overtakes(Bulk::WithTheRequest, 180);
}

#[test]
fn bulk_that_goes_with_the_answers_delays_them_by_a_train_at_most() {
    control_overtakes(Bulk::WithTheAnswer, 190);
}

fn control_overtakes(bulk: Bulk, seed: u8) {
    let round_trip = Duration::from_millis(2 * ONE_WAY_MILLISECONDS);
    for streams in [1, 2, 4, 16] {
        let (alice, bob) = (Peer::start(seed), Peer::start(seed + 1));
        let proxy = Proxy::start(bob.address(), narrow(), 1);
        let link = alice.dial(bob.id, proxy.address()).unwrap();
        let idle = Latencies::measure(&alice, link, 60);
        let (sender, receiver) = match bulk {
            Bulk::WithTheRequest => (&alice, &bob),
            Bulk::WithTheAnswer => (&bob, &alice),
        };
        let senders_link = sender.wait(|happened| happened.links.first().copied());
        let busy = under_bulk((sender, senders_link), receiver, streams, || {
            Latencies::measure(&alice, link, REQUESTS)
        });
        println!("{streams} streams of bulk {bulk:?}: {busy:?}; without: {idle:?}");
        // The queue of the bottleneck, one train in it or before it, and as much again for this machine.
        let extra = 2 * (time_of(QUEUE_BYTES) + time_of(TRAIN_BYTES));
        assert!(
            busy.median <= idle.median + extra,
            "{streams} streams {bulk:?}: {busy:?}, not {idle:?} and {extra:?}"
        );
        // What the full bottleneck loses is sent again, as soon as what follows was acknowledged.
        assert!(
            busy.p99 <= idle.median + extra + 2 * round_trip,
            "{streams} streams {bulk:?}: {busy:?}, not {idle:?}, {extra:?} and two round trips"
        );
    }
}

/// Measures while bulk streams write as fast as they may.
fn under_bulk<T>(
    (sender, link): (&Peer, u32),
    receiver: &Peer,
    streams: usize,
    measure: impl FnOnce() -> T,
) -> T {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..streams {
            scope.spawn(|| {
                let flow = sender.open(link, BULK).unwrap();
                let piece = pattern(65_536, 1);
                while !ended.load(Ordering::Relaxed) {
                    flow.write_all(&piece).unwrap();
                }
                flow.reset(0);
            });
            scope.spawn(|| {
                let flow = receiver.accept();
                let mut target = vec![0; 262_144];
                // Until it is reset.
                while flow.read(&mut target).is_ok() {}
            });
        }
        // Until the way is full.
        std::thread::sleep(Duration::from_millis(1500));
        let measured = measure();
        ended.store(true, Ordering::Relaxed);
        measured
    })
}

#[derive(Debug)]
#[expect(dead_code, reason = "the most is printed")]
struct Latencies {
    median: Duration,
    /// 99 of 100 are at most this.
    p99: Duration,
    most: Duration,
}

impl Latencies {
    /// Of requests that don't wait for each other.
    fn measure(alice: &Peer, link: u32, count: usize) -> Self {
        let asked: Vec<(u32, Instant)> = (0..count)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(7));
                let started = Instant::now();
                (alice.start_ask(link, CONTROL, &[7; 64], PATIENCE), started)
            })
            .collect();
        let mut times: Vec<Duration> = asked
            .into_iter()
            .map(|(operation, started)| {
                let (result, ended) = alice.outcome(operation);
                result.unwrap();
                ended - started
            })
            .collect();
        times.sort();
        Self {
            median: times[count / 2],
            p99: times[(count * 99).div_ceil(100) - 1],
            most: times[count - 1],
        }
    }
}

/// As many as may stall without a part in the window of the others.
#[test]
fn streams_that_nobody_reads_hold_back_no_request_in_either_direction() {
    let (alice, bob) = (Peer::start(200), Peer::start(201));
    let link = alice.dial(bob.id, bob.address()).unwrap();
    let theirs = bob.wait(|happened| happened.links.first().copied());
    let count = usize::try_from(MAX_STALLED_STREAMS).unwrap();
    // More than all that is between a writer and a reader who doesn't read.
    let bytes = pattern(12 << 20, 1);
    let flows: Vec<_> = (0..count).map(|_| alice.open(link, BULK).unwrap()).collect();
    std::thread::scope(|scope| {
        let writers: Vec<_> = flows
            .iter()
            .map(|flow| {
                scope.spawn(|| {
                    flow.write_all(&bytes).unwrap();
                    flow.finish().unwrap();
                })
            })
            .collect();
        let accepted: Vec<_> = (0..count).map(|_| bob.accept()).collect();
        // Until nothing moves any more.
        let mut sent = 0;
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let now = alice.endpoint.stats(link).unwrap().bytes_sent;
            if now - sent < 100_000 {
                break;
            }
            sent = now;
        }
        assert!(writers.iter().all(|writer| !writer.is_finished()));
        // The largest that there are, so that they need credit.
        for body in [&bytes[..64], &bytes[..262_144]] {
            for class in [CONTROL, BULK] {
                assert!(alice.ask(link, class, body).unwrap() == body);
                assert!(bob.ask(theirs, class, body).unwrap() == body);
            }
        }
        assert!(writers.iter().all(|writer| !writer.is_finished()));
        // And nothing of the streams is lost.
        for flow in accepted {
            scope.spawn(move || assert!(flow.read_to_end().unwrap().len() == 12 << 20));
        }
    });
}

#[test]
fn what_is_more_urgent_is_there_first_although_it_was_written_last() {
    let (alice, bob) = (Peer::start(182), Peer::start(183));
    let proxy = Proxy::start(bob.address(), narrow(), 1);
    let link = alice.dial(bob.id, proxy.address()).unwrap();
    let bytes = pattern(400_000, 1);
    let classes = [4, 3, 2, 1, 0];
    let flows = classes.map(|class| alice.open(link, class).unwrap());
    let order = std::thread::scope(|scope| {
        let readers = classes.map(|_| {
            scope.spawn(|| {
                let flow = bob.accept();
                let received = flow.read_to_end().unwrap();
                (Instant::now(), received[0], received.len())
            })
        });
        for (class, flow) in classes.iter().zip(&flows) {
            flow.write_all(&[*class]).unwrap();
            flow.write_all(&bytes).unwrap();
        }
        // Each ends when all of it is written, which for the least urgent is late.
        for flow in &flows {
            scope.spawn(|| flow.finish().unwrap());
        }
        let mut ended = readers.map(|reader| reader.join().unwrap());
        ended.sort();
        ended.map(|(_, class, length)| (class, length))
    });
    let length = bytes.len() + 1;
    assert_eq!(order, [0, 1, 2, 3, 4].map(|class| (class, length)));
}

#[test]
fn a_datagram_waits_for_no_stream_and_comes_at_most_once() {
    let (alice, bob) = (Peer::start(184), Peer::start(185));
    let conditions = Conditions {
        lost_permille: 100,
        duplicated_permille: 100,
        reordered_permille: 50,
        ..narrow()
    };
    let proxy = Proxy::start(bob.address(), conditions, 1);
    let link = alice.dial(bob.id, proxy.address()).unwrap();
    let flow = alice.open(link, BULK).unwrap();
    // More than can be under way in the time of this test: every datagram comes from behind it.
    flow.write_all(&vec![0; 4_000_000]).unwrap();

    // So long that no packet carries two, and a lost one takes no others along.
    let mut body = [0; 1000];
    for number in 0..200_u32 {
        body[..4].copy_from_slice(&number.to_le_bytes());
        assert!(alice.endpoint.send_datagram(link, 5, &body));
        std::thread::sleep(Duration::from_millis(2));
    }
    let bodies = bob.wait_for(Duration::from_secs(10), |happened| {
        (happened.datagrams.len() >= 140).then(|| happened.datagrams.clone())
    });
    let mut target = vec![0; 4_000_000];
    let accepted = bob.accept();
    let mut read = 0;
    while let Ok(espalier_transport::Read::Bytes(count)) = bob.endpoint.read(accepted.stream, &mut target) {
        read += count;
    }
    let bodies = bodies.expect("most datagrams come, lost ones are not repeated");
    println!("{} datagrams came, and {read} bytes of the stream", bodies.len());
    assert!(read < 4_000_000, "the stream was done, and nothing was overtaken");
    let different: HashSet<_> = bodies.iter().collect();
    assert_eq!(different.len(), bodies.len());
}

#[test]
fn the_largest_datagram_of_a_path_arrives_and_one_byte_more_is_told() {
    let (alice, bob) = (Peer::start(186), Peer::start(187));
    let conditions = Conditions {
        largest_bytes: 1300,
        ..Conditions::delay(2)
    };
    let proxy = Proxy::start(bob.address(), conditions, 1);
    let link = alice.dial(bob.id, proxy.address()).unwrap();
    bob.wait(|happened| happened.links.first().copied());
    // The path's size is being found out; once it is, the largest that is taken gets through.
    std::thread::sleep(Duration::from_millis(500));
    let takes = |bytes: usize| alice.endpoint.send_datagram(link, 5, &vec![1; bytes]);
    let (mut most, mut too_many) = (1, 1400);
    assert!(takes(most) && !takes(too_many));
    while too_many - most > 1 {
        let middle = usize::midpoint(most, too_many);
        if takes(middle) {
            most = middle;
        } else {
            too_many = middle;
        }
    }
    println!("the largest datagram has {most} bytes");
    assert!(most > 1100 && most < 1300, "{most}");
    assert!(takes(most));
    bob.wait(|happened| {
        happened
            .datagrams
            .iter()
            .any(|body| body.len() == most)
            .then_some(())
    });
}
