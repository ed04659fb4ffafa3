//! Connections over bad networks, after the cases of the QUIC interop runner: everything arrives, once and
//! exactly, or fails with an error that says why.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use common::{
    conditions::{Conditions, Direction, Fate, Outages, Rate},
    is_long,
    peer::{Peer, transfer},
    proxy::{Passed, Proxy},
};

#[test]
fn handshakes_get_through_a_loss_of_thirty_percent_or_tell_that_they_did_not() {
    let server = Peer::start(40);
    let conditions = Conditions {
        lost_permille: 300,
        ..Conditions::delay(15)
    };
    let proxy = Proxy::start(server.address(), conditions, 30);
    let count = if is_long() { 208 } else { 16 };
    let clients: Vec<Peer> = (0..count).map(|number| Peer::start(48 + number)).collect();

    let started = Instant::now();
    let dials: Vec<u32> = clients
        .iter()
        .map(|client| client.start_dial(server.id, proxy.address()))
        .collect();
    let mut times = Vec::new();
    let mut failures = Vec::new();
    for (client, dial) in clients.iter().zip(dials) {
        let (result, at) = client.outcome(dial);
        let asked = result.and_then(|link| {
            let link = u32::from_le_bytes(link[..].try_into().unwrap());
            let asked = client.start_ask(link, 1, b"through", Duration::from_secs(10));
            client.outcome(asked).0
        });
        match asked {
            Ok(answer) => {
                assert_eq!(answer, &b"through"[..]);
                times.push(at - started);
            }
            Err(error) => failures.push(error),
        }
    }
    times.sort();
    println!(
        "{} of {count} handshakes, median {:?}, slowest {:?}; {failures:?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1]
    );
    // The side that has the last word of a handshake believes that it is done before the other does, and hears
    // later that the other gave up.
    let codes = ["PEER_UNREACHABLE", "TIMEOUT", "CONNECTION_LOST"];
    assert!(
        failures.iter().all(|error| codes.contains(&error.code())),
        "{failures:?}"
    );
    assert!(failures.len() <= usize::from(count) / 2, "{failures:?}");
}

#[test]
fn bytes_are_exact_in_spite_of_loss_duplicates_reordering_and_corruption() {
    let size = if is_long() { 10_000_000 } else { 2_000_000 };
    let cases = [
        Conditions {
            lost_permille: 20,
            ..Conditions::delay(10)
        },
        Conditions {
            corrupted_permille: 20,
            ..Conditions::delay(10)
        },
        Conditions {
            duplicated_permille: 100,
            reordered_permille: 50,
            ..Conditions::delay(10)
        },
    ];
    std::thread::scope(|scope| {
        for (number, conditions) in (0..).zip(cases) {
            scope.spawn(move || {
                let (alice, bob) = (Peer::start(120 + 2 * number), Peer::start(121 + 2 * number));
                let proxy = Proxy::start(bob.address(), conditions, u64::from(number) + 1);
                let link = alice.dial(bob.id, proxy.address()).unwrap();
                let theirs = bob.wait(|happened| happened.links.first().copied());
                let started = Instant::now();
                transfer(&alice, &bob, link, size);
                transfer(&bob, &alice, theirs, size);
                println!("case {number}: {size} bytes each way in {:?}", started.elapsed());
                for direction in [Direction::ToServer, Direction::ToClient] {
                    assert!(
                        troubled(&proxy.passed(), direction) > 0,
                        "nothing happened {direction:?}"
                    );
                }
            });
        }
    });
}

#[test]
fn over_a_long_way_a_handshake_takes_one_round_trip_and_a_request_one_more() {
    let (alice, bob) = (Peer::start(130), Peer::start(131));
    let proxy = Proxy::start(bob.address(), Conditions::delay(375), 1);
    let round_trip = Duration::from_millis(750);

    let started = Instant::now();
    let link = alice.dial(bob.id, proxy.address()).unwrap();
    let dialled = started.elapsed();
    alice.ask(link, 1, b"far away").unwrap();
    let asked = started.elapsed();

    println!("dialled after {dialled:?}, answered after {asked:?}");
    assert!(
        dialled >= round_trip && dialled < round_trip * 3 / 2,
        "{dialled:?}"
    );
    assert!(asked >= 2 * round_trip && asked < round_trip * 5 / 2, "{asked:?}");
}

#[test]
fn a_transfer_goes_on_after_each_outage() {
    let (alice, bob) = (Peer::start(132), Peer::start(133));
    let conditions = Conditions {
        rate: Some(Rate {
            bits_per_second: 10_000_000,
            queue_bytes: 50_000,
        }),
        ..Conditions::delay(10)
    };
    let proxy = Proxy::start(bob.address(), conditions, 1);
    let link = alice.dial(bob.id, proxy.address()).unwrap();
    let since = Instant::now();
    let outages = Some(Outages {
        since,
        on: Duration::from_secs(5),
        off: Duration::from_secs(2),
    });
    proxy.both_ways(|wire| wire.outages = outages);
    // 8 seconds' worth, or 40.
    let size = if is_long() { 50_000_000 } else { 10_000_000 };
    transfer(&alice, &bob, link, size);

    println!("{size} bytes in {:?}", since.elapsed());
    let silenced = proxy
        .passed()
        .iter()
        .filter(|passed| passed.fate == Fate::Silenced)
        .count();
    assert!(silenced > 0, "there was no outage");
    assert_eq!(alice.ask(link, 1, b"still there").unwrap(), &b"still there"[..]);
}

#[test]
fn a_connection_follows_its_client_to_other_ports() {
    follows(134, &["127.0.0.1"]);
}

/// Only Linux has all of 127.0.0.0/8 on its loopback interface.
#[cfg(target_os = "linux")]
#[test]
fn a_connection_follows_its_client_to_other_addresses() {
    follows(136, &["127.0.0.2", "127.0.0.3", "127.1.2.3"]);
}

/// Transfers in both directions, rebound in the midst of them every 300 ms.
fn follows(seed: u8, hosts: &[&str]) {
    let (alice, bob) = (Peer::start(seed), Peer::start(seed + 1));
    let conditions = Conditions {
        rate: Some(Rate {
            bits_per_second: 40_000_000,
            queue_bytes: 100_000,
        }),
        ..Conditions::delay(5)
    };
    let proxy = Proxy::start(bob.address(), conditions, 1);
    let link = alice.dial(bob.id, proxy.address()).unwrap();
    let theirs = bob.wait(|happened| happened.links.first().copied());
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let hosts: Vec<IpAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
            for host in hosts.iter().cycle() {
                std::thread::sleep(Duration::from_millis(300));
                if ended.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                proxy.rebind(*host);
            }
        });
        transfer(&alice, &bob, link, 6_000_000);
        transfer(&bob, &alice, theirs, 6_000_000);
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });

    // What the server sends comes through each of the sockets: it goes where the client was last.
    let passed = proxy.passed();
    let most = passed.iter().map(|passed| passed.rebound).max().unwrap();
    println!("rebound {most} times");
    assert!(most >= 3, "{most}");
    for rebound in 0..most {
        let answered = passed
            .iter()
            .any(|passed| passed.rebound == rebound && !passed.is_from_client());
        assert!(answered, "nothing went to the client's place {rebound}");
    }
    // It is one connection still.
    for peer in [&alice, &bob] {
        let (ups, closed) = peer.wait(|happened| Some((happened.links.len(), happened.closed.len())));
        assert_eq!((ups, closed), (1, 0));
    }
}

fn troubled(passed: &[Passed], direction: Direction) -> usize {
    passed
        .iter()
        .filter(|passed| passed.direction == direction && passed.fate != Fate::Delivered)
        .count()
}
