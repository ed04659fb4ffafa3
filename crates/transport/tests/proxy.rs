//! The wire that the network tests run over does what they believe.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use common::{
    conditions::{Conditions, Direction, Fate, Outages, Rate, Wire},
    proxy::Proxy,
};

/// A server that tells what it gets, and how much of it.
struct Sockets {
    client: UdpSocket,
    server: UdpSocket,
    proxy: Proxy,
}

impl Sockets {
    fn over(conditions: Conditions) -> Self {
        let (client, server) = (loopback(), loopback());
        let proxy = Proxy::start(server.local_addr().unwrap(), conditions, 7);
        client.connect(proxy.address()).unwrap();
        Self {
            client,
            server,
            proxy,
        }
    }

    fn send_numbers(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.client.send(&number.to_le_bytes()).unwrap();
        }
    }

    /// What comes until nothing has come for a while.
    fn received(&self) -> Vec<(u32, SocketAddr)> {
        let mut buffer = [0; 64];
        let mut received = Vec::new();
        while let Ok((4, source)) = self.server.recv_from(&mut buffer) {
            received.push((u32::from_le_bytes(buffer[..4].try_into().unwrap()), source));
        }
        received
    }
}

#[test]
fn the_decisions_of_a_seed_come_again_and_have_the_shares_that_were_asked_for() {
    let fates = |seed, direction, client| {
        let conditions = Conditions {
            lost_permille: 100,
            duplicated_permille: 200,
            corrupted_permille: 300,
            reordered_permille: 50,
            ..Conditions::default()
        };
        let mut wire = Wire::new(conditions, seed, direction);
        let now = Instant::now();
        (0..20_000)
            .map(|index| wire.judge(now, client, index, &mut [0; 100]).0)
            .collect::<Vec<Fate>>()
    };
    let first = fates(1, Direction::ToServer, 0);
    assert_eq!(first, fates(1, Direction::ToServer, 0));
    for other in [
        fates(2, Direction::ToServer, 0),
        fates(1, Direction::ToClient, 0),
        fates(1, Direction::ToServer, 1),
    ] {
        assert_ne!(first, other);
    }
    // Each share is of what the decisions before it left.
    let expected = [
        (Fate::Lost, 2000),
        (Fate::Reordered, 900),
        (Fate::Corrupted, 5130),
        (Fate::Duplicated, 2394),
        (Fate::Delivered, 9576),
    ];
    for (fate, about) in expected {
        let count = first.iter().filter(|found| **found == fate).count();
        assert!(count.abs_diff(about) < about / 8, "{fate:?}: {count}");
    }
}

#[test]
fn a_corrupted_datagram_differs_in_one_to_three_bits() {
    let conditions = Conditions {
        corrupted_permille: 1000,
        ..Conditions::default()
    };
    let mut wire = Wire::new(conditions, 1, Direction::ToServer);
    let mut most = 0;
    for index in 0..1000 {
        let mut datagram = [0; 1200];
        wire.judge(Instant::now(), 0, index, &mut datagram);
        let flipped: u32 = datagram.iter().map(|byte: &u8| byte.count_ones()).sum();
        // Two flips of the same bit are none; that is rare enough to have no bearing.
        assert!(flipped <= 3);
        most = most.max(flipped);
    }
    assert_eq!(most, 3);
}

#[test]
fn a_wire_takes_its_time_and_keeps_the_order_in_spite_of_jitter() {
    let conditions = Conditions {
        jitter: Duration::from_millis(20),
        ..Conditions::delay(50)
    };
    let sockets = Sockets::over(conditions);
    let sent_at = Instant::now();
    sockets.send_numbers(0..1);
    let mut buffer = [0; 4];
    sockets.server.recv_from(&mut buffer).unwrap();
    let took = sent_at.elapsed();
    assert!(
        took >= Duration::from_millis(50) && took < Duration::from_millis(400),
        "{took:?}"
    );
    sockets.send_numbers(0..200);
    let received: Vec<u32> = sockets.received().into_iter().map(|(number, _)| number).collect();
    assert_eq!(received, (0..200).collect::<Vec<u32>>());

    sockets.proxy.both_ways(|wire| wire.jitter = Duration::ZERO);
    sockets.proxy.both_ways(|wire| wire.reordered_permille = 100);
    sockets.send_numbers(0..200);
    let received: Vec<u32> = sockets.received().into_iter().map(|(number, _)| number).collect();
    assert!(!received.is_sorted(), "nothing overtook");
    assert_eq!(received.len(), 200);
}

#[test]
fn loss_silence_sizes_and_outages_let_through_what_they_should() {
    let sockets = Sockets::over(Conditions::default());
    let reset = |change: &dyn Fn(&mut Conditions)| {
        sockets.proxy.to_server(|wire| {
            *wire = Conditions::default();
            change(wire);
        });
        sockets.send_numbers(0..100);
        sockets.received().len()
    };
    assert_eq!(reset(&|_| {}), 100);
    assert_eq!(reset(&|wire| wire.duplicated_permille = 1000), 200);
    assert!((10..60).contains(&reset(&|wire| wire.lost_permille = 700)));
    assert_eq!(reset(&|wire| wire.is_silent = true), 0);
    assert_eq!(reset(&|wire| wire.largest_bytes = 3), 0);
    assert_eq!(reset(&|wire| wire.largest_bytes = 4), 100);
    // 600 have been sent, and 50 more may pass.
    assert_eq!(reset(&|wire| wire.passes_at_most = 650), 50);
    let outages = |on, off| {
        Some(Outages {
            since: Instant::now(),
            on: Duration::from_secs(on),
            off: Duration::from_secs(off),
        })
    };
    assert_eq!(reset(&|wire| wire.outages = outages(0, 9)), 0);
    assert_eq!(reset(&|wire| wire.outages = outages(9, 1)), 100);
}

#[test]
fn each_client_has_a_socket_of_its_own_which_can_be_rebound_under_way() {
    let sockets = Sockets::over(Conditions::default());
    let other = loopback();
    sockets.send_numbers(0..1);
    other
        .send_to(&1_u32.to_le_bytes(), sockets.proxy.address())
        .unwrap();
    let before = sockets.received();
    assert_eq!(before.len(), 2);
    assert_ne!(before[0].1, before[1].1);
    // Answers find their client.
    for (number, source) in &before {
        sockets.server.send_to(&number.to_le_bytes(), source).unwrap();
    }
    for (socket, number) in [(&sockets.client, 0_u32), (&other, 1)] {
        let mut buffer = [0; 4];
        socket.recv_from(&mut buffer).unwrap();
        assert_eq!(u32::from_le_bytes(buffer), number);
    }

    sockets.proxy.rebind("127.0.0.1".parse().unwrap());
    sockets.send_numbers(5..6);
    let after = sockets.received();
    assert!(after[0].0 == 5 && !before.iter().any(|(_, source)| *source == after[0].1));
    // What goes to the old port is lost, what goes to the new one arrives.
    sockets.server.send_to(&[1], before[0].1).unwrap();
    sockets.server.send_to(&[2], after[0].1).unwrap();
    let mut buffer = [0; 4];
    sockets.client.recv_from(&mut buffer).unwrap();
    assert_eq!(buffer[0], 2);
}

#[test]
fn a_bottleneck_has_its_rate_and_drops_what_its_queue_does_not_hold() {
    let rate = Rate {
        bits_per_second: 8_000_000,
        queue_bytes: 100_000,
    };
    let conditions = Conditions {
        rate: Some(rate),
        ..Conditions::default()
    };
    let sockets = Sockets::over(conditions);
    let started = Instant::now();
    for _ in 0..300 {
        sockets.client.send(&[0; 1000]).unwrap();
    }
    let mut buffer = [0; 1500];
    let mut survivors: u32 = 0;
    let mut last = started;
    while sockets.server.recv_from(&mut buffer).is_ok() {
        survivors += 1;
        last = Instant::now();
    }
    // A queue of 100 and what left meanwhile, at a millisecond each.
    assert!((100..250).contains(&survivors), "{survivors}");
    let took = last - started;
    let shortest = Duration::from_millis(u64::from(survivors) - 2);
    assert!(
        took >= shortest && took < 4 * shortest,
        "{took:?} for {survivors} datagrams"
    );
    let passed = sockets.proxy.passed();
    let overflowed = passed
        .iter()
        .filter(|passed| passed.fate == Fate::Overflowed)
        .count();
    assert_eq!(overflowed, 300 - survivors as usize);
}

#[test]
fn two_hundred_megabits_in_a_second_are_no_burden() {
    let sockets = Sockets::over(Conditions::delay(5));
    let (datagrams, datagram) = (25_000_000 / 1200, [0; 1200]);
    let server = sockets.server.try_clone().unwrap();
    let counting = std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        let mut count = 0;
        while server.recv_from(&mut buffer).is_ok() {
            count += 1;
        }
        count
    });
    let started = Instant::now();
    for number in 0..datagrams {
        // 16 at a time, spread over the second.
        let due = Duration::from_secs(1) * (number / 16 * 16) / datagrams;
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        sockets.client.send(&datagram).unwrap();
    }
    let arrived: u32 = counting.join().unwrap();
    println!("{arrived} of {datagrams} datagrams in {:?}", started.elapsed());
    // Under load of other programs the kernel may drop some; a proxy that is too slow drops most.
    assert!(arrived > datagrams * 9 / 10, "{arrived} of {datagrams}");
}

fn loopback() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}
