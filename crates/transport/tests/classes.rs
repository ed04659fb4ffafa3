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

#[test]
fn a_control_request_overtakes_a_bulk_stream() {
    let (alice, bob) = (Peer::start(180), Peer::start(181));
    let proxy = Proxy::start(bob.address(), narrow(), 1);
    let link = alice.dial(bob.id, proxy.address()).unwrap();
    let idle = Latencies::measure(&alice, link, 40);
    println!("idle: {idle:?}");

    let round_trip = Duration::from_millis(2 * ONE_WAY_MILLISECONDS);
    let busy = under_bulk(&alice, &bob, link);
    println!("under a bulk stream: {busy:?}");
    // The queue of the bottleneck, one train in it or before it, and as much again for this machine.
    let extra = 2 * (time_of(QUEUE_BYTES) + time_of(TRAIN_BYTES));
    assert!(
        busy.median <= idle.median + extra,
        "{busy:?}, not {idle:?} and {extra:?}"
    );
    // A request that the full bottleneck loses is repeated, after at most some round trips.
    assert!(busy.highest <= idle.median + extra + 6 * round_trip, "{busy:?}");
    assert!(busy.most < Duration::from_secs(2), "{busy:?}");
}

/// Measures while a bulk stream writes as fast as it may.
fn under_bulk(alice: &Peer, bob: &Peer, link: u32) -> Latencies {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flow = alice.open(link, BULK).unwrap();
            let piece = pattern(65_536, 1);
            while !ended.load(Ordering::Relaxed) {
                flow.write_all(&piece).unwrap();
            }
            flow.reset(0);
        });
        scope.spawn(|| {
            let flow = bob.accept();
            let mut target = vec![0; 262_144];
            // Until it is reset.
            while flow.read(&mut target).is_ok() {}
        });
        // Until the way is full.
        std::thread::sleep(Duration::from_millis(700));
        let busy = Latencies::measure(alice, link, 100);
        ended.store(true, Ordering::Relaxed);
        busy
    })
}

#[derive(Debug)]
struct Latencies {
    median: Duration,
    /// 99 of 100 are at most this.
    highest: Duration,
    most: Duration,
}

impl Latencies {
    fn measure(alice: &Peer, link: u32, count: usize) -> Self {
        let mut times: Vec<Duration> = (0..count)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(5));
                let started = Instant::now();
                alice.ask(link, CONTROL, &[7; 64]).unwrap();
                started.elapsed()
            })
            .collect();
        times.sort();
        Self {
            median: times[count / 2],
            highest: times[(count * 99).div_ceil(100) - 1],
            most: times[count - 1],
        }
    }
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
        for flow in &flows {
            flow.finish().unwrap();
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

    for number in 0..200_u32 {
        assert!(alice.endpoint.send_datagram(link, 5, &number.to_le_bytes()));
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
