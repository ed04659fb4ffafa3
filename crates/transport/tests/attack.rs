//! Handshakes that never end, and more of them than are allowed.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use common::{
    deaf::{DeafClients, Ears},
    figure, is_long,
    peer::Peer,
    wait_until,
};
use espalier_transport::{
    AddressRates, Rate,
    counters::Refused,
    limits::{HANDSHAKE_TIME, Limits, MAX_HANDSHAKES, RETRY_ABOVE},
};

/// Sooner than any stalled handshake ends by itself: who is in by then has not waited for one.
const SOON: Duration = Duration::from_secs(4);
const UNDER_WAY: &str = "level.handshakes";

#[test]
fn one_stalled_handshake_holds_up_nobody() {
    let (alice, bob) = (Peer::start(200), Peer::start(201));
    let mut stalled = DeafClients::start(202, LOCALHOST, Ears::None);
    stalled.dial(bob.address(), 1);
    wait_until("a stalled handshake", || figure(&bob.endpoint, UNDER_WAY) == 1);

    let took = dial(&alice, &bob);

    println!("beside one stalled handshake: {took:?}");
    assert!(took < SOON, "{took:?}");
    assert_eq!(figure(&bob.endpoint, UNDER_WAY), 1);
}

#[test]
fn a_crowd_of_silent_clients_takes_the_places_that_need_no_proof_and_holds_up_nobody() {
    let crowd = Crowd::of_this_run();
    let (alice, bob) = (Peer::start(203), Peer::start_within(crowd.limits, 204));
    let _stalled = crowd.dial(&bob, &Ears::None);
    wait_until("a Retry", || bob.endpoint.counters().refused(Refused::Retry) > 0);

    let took = dial(&alice, &bob);

    let under_way = figure(&bob.endpoint, UNDER_WAY);
    println!(
        "beside {under_way} stalled handshakes of {}: {took:?}",
        crowd.clients
    );
    assert!(took < SOON, "{took:?}");
    assert!(under_way <= crowd.limits.retry_above as u64);
}

#[test]
fn a_crowd_that_proves_its_addresses_and_stalls_holds_up_nobody() {
    let crowd = Crowd::of_this_run();
    let (alice, bob) = (Peer::start(206), Peer::start_within(crowd.limits, 207));
    let _stalled = crowd.dial(&bob, &Ears::ForRetries);
    let most = crowd.limits.handshakes as u64;
    wait_until("all places to be taken", || {
        figure(&bob.endpoint, UNDER_WAY) == most
    });

    let took = dial(&alice, &bob);

    let under_way = figure(&bob.endpoint, UNDER_WAY);
    println!(
        "beside {under_way} stalled handshakes of {}, all of proved addresses: {took:?}",
        crowd.clients
    );
    assert!(took < SOON, "{took:?}");
    assert!(under_way <= most);
}

/// Five times as many clients as there are places.
struct Crowd {
    limits: Limits,
    clients: usize,
}

impl Crowd {
    fn of_this_run() -> Self {
        let limits = Limits::default();
        if is_long() {
            return Self {
                limits,
                clients: 5000,
            };
        }
        let limits = Limits {
            handshakes: MAX_HANDSHAKES / 8,
            retry_above: RETRY_ABOVE / 8,
            ..limits
        };
        Self {
            limits,
            clients: 5000 / 8,
        }
    }

    fn dial(&self, server: &Peer, ears: &Ears) -> Vec<DeafClients> {
        // Only Linux has all of 127.0.0.0/8 on its loopback interface.
        let host = |number| {
            let last = if cfg!(target_os = "linux") { number } else { 1 };
            Ipv4Addr::new(127, 0, 0, last)
        };
        let mut clients: Vec<DeafClients> = (2..7)
            .map(|number| DeafClients::start(208, host(number).into(), ears.clone()))
            .collect();
        for behind_one_socket in &mut clients {
            behind_one_socket.dial(server.address(), self.clients / 5);
        }
        clients
    }
}

#[test]
fn a_stalled_handshake_is_given_up_after_its_time() {
    let limits = Limits {
        handshake_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let bob = Peer::start_within(limits, 209);
    let mut stalled = DeafClients::start(210, LOCALHOST, Ears::None);
    stalled.dial(bob.address(), 1);
    wait_until("a stalled handshake", || figure(&bob.endpoint, UNDER_WAY) == 1);
    let begun = Instant::now();
    wait_until("its end", || {
        figure(&bob.endpoint, "count.handshakes.inbound.timed_out") == 1
    });
    assert!(begun.elapsed() < HANDSHAKE_TIME);
}

#[test]
fn the_last_place_is_given_away_and_one_more_is_not() {
    let limits = Limits {
        handshakes: 8,
        retry_above: 4,
        ..Limits::default()
    };
    let bob = Peer::start_within(limits, 211);
    let refused = |why| bob.endpoint.counters().refused(why);
    let mut silent = DeafClients::start(212, LOCALHOST, Ears::None);
    silent.dial(bob.address(), 4);
    wait_until("as many as need no proof", || {
        figure(&bob.endpoint, UNDER_WAY) == 4
    });
    assert_eq!(refused(Refused::Retry), 0);

    silent.dial(bob.address(), 1);
    wait_until("a Retry", || refused(Refused::Retry) > 0);
    assert_eq!(figure(&bob.endpoint, UNDER_WAY), 4);

    let mut proved = DeafClients::start(213, LOCALHOST, Ears::ForRetries);
    proved.dial(bob.address(), 4);
    wait_until("all places to be taken", || figure(&bob.endpoint, UNDER_WAY) == 8);
    assert_eq!(refused(Refused::Handshakes), 0);

    proved.dial(bob.address(), 1);
    wait_until("a refusal", || refused(Refused::Handshakes) > 0);
    assert_eq!(figure(&bob.endpoint, UNDER_WAY), 8);
}

#[test]
fn an_address_begins_as_many_handshakes_as_it_may_and_not_one_more() {
    // Those that need no proof, and as many with one.
    let allowed = 3;
    let rate = Rate {
        per_second: 0,
        burst: allowed,
    };
    let limits = Limits {
        address_rates: AddressRates {
            loopback: Some(rate),
            ..AddressRates::default()
        },
        ..Limits::default()
    };
    let bob = Peer::start_within(limits, 214);
    let refused = |why| bob.endpoint.counters().refused(why);
    let peers: Vec<Peer> = (0..7).map(|number| Peer::start(215 + number)).collect();
    let (may, may_not) = peers.split_at(6);
    for (peer, number) in may.iter().zip(0..) {
        peer.dial(bob.id, bob.address()).unwrap();
        assert_eq!(refused(Refused::Retry) > 0, number >= allowed, "{number}");
    }
    let error = may_not[0].dial(bob.id, bob.address()).unwrap_err();
    assert_eq!(error.code(), "PEER_REFUSED");
    assert_eq!(figure(&bob.endpoint, "count.handshakes.inbound.full"), 6);
}

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How long a dial and a request took.
fn dial(alice: &Peer, bob: &Peer) -> Duration {
    let begun = Instant::now();
    let link = alice.dial(bob.id, bob.address()).unwrap();
    assert_eq!(alice.ask(link, 1, b"in").unwrap(), &b"in"[..]);
    begun.elapsed()
}
