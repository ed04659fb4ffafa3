//! A flood of forged packets that begin handshakes: they have a sender that does not exist, so nobody answers.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use common::{
    conditions::{Conditions, Rate},
    deaf::hellos,
    is_long,
    peer::{Peer, pattern},
    proxy::Proxy,
};
use espalier_transport::{counters::Refused, events::LinkId};

const PACKETS_PER_SECOND: u128 = 50_000;
const MOST_AT_ONCE: u128 = 100;
/// Clients whose packets are sent again and again, each time by another sender.
const CLIENTS: usize = 1000;
const SENDERS: usize = 200;
/// How long a measurement takes.
const MEASURED: Duration = Duration::from_secs(1);

/// Without a bottleneck the forger, the client and the server would compete for the processor, and nothing else would
/// be measured.
fn way() -> Conditions {
    Conditions {
        rate: Some(Rate {
            bits_per_second: 100_000_000,
            queue_bytes: 250_000,
        }),
        ..Conditions::delay(1)
    }
}

#[test]
fn a_flood_leaves_connections_their_throughput_and_lets_new_ones_in() {
    let (alice, bob, carol) = (Peer::start(220), Peer::start(221), Peer::start(222));
    let proxy = Proxy::start(bob.address(), way(), 1);
    let link = alice.dial(bob.id, proxy.address()).unwrap();
    let begun = Instant::now();
    let flood = Flood::new(bob.address());
    let rounds = if is_long() { 20 } else { 4 };
    let mut undisturbed = Vec::new();
    let mut flooded = Vec::new();
    let mut dialled = Duration::ZERO;
    for round in 0..rounds {
        undisturbed.push(throughput(&alice, &bob, link));
        let before = flood.sent.load(Ordering::Relaxed);
        let flooding = Instant::now();
        flood.run(|| {
            flooded.push(throughput(&alice, &bob, link));
            if round == 0 {
                // Its address is as unknown as those of the flood.
                let dialling = Instant::now();
                carol.dial(bob.id, bob.address()).unwrap();
                dialled = dialling.elapsed();
            }
        });
        let rate = per_second(flood.sent.load(Ordering::Relaxed) - before, flooding.elapsed());
        println!(
            "{:.1} MB/s; with {rate:.0} forged packets a second {:.1} MB/s",
            undisturbed[undisturbed.len() - 1] / 1e6,
            flooded[flooded.len() - 1] / 1e6
        );
    }
    let kept = median(flooded) / median(undisturbed);
    let turned_away = bob.endpoint.counters().refused(Refused::Flood);
    println!(
        "{:.0} % of the throughput; a dial meanwhile: {dialled:?}; {turned_away} packets turned away",
        100.0 * kept
    );
    // A machine that does other work too may leave the server too little of itself to empty its socket in time: the
    // long run asks for a quiet one.
    assert!(kept >= 0.8 || !is_long(), "{kept}");
    assert!(turned_away > 0);
    // What strangers may send, fresh and again: bursts, and the rates since.
    let retries = bob.endpoint.counters().refused(Refused::Retry);
    let most = 3000 + 2000 * (1 + begun.elapsed().as_secs());
    assert!(retries <= most, "{retries} of {most}");
}

/// Bytes each second, over one stream after another.
fn throughput(from: &Peer, to: &Peer, link: LinkId) -> f64 {
    let piece = pattern(1_000_000, 1);
    let begun = Instant::now();
    let mut bytes = 0;
    while begun.elapsed() < MEASURED {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let flow = from.open(link, 4).unwrap();
                flow.write_all(&piece).unwrap();
                flow.finish().unwrap();
            });
            bytes += to.accept().read_to_end().unwrap().len();
        });
    }
    per_second(bytes, begun.elapsed())
}

fn per_second(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / time.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Real first packets of clients, sent by somebody else.
struct Flood {
    packets: Vec<Vec<u8>>,
    senders: Vec<UdpSocket>,
    target: SocketAddr,
    sent: AtomicUsize,
}

impl Flood {
    fn new(target: SocketAddr) -> Self {
        let sender = |_| UdpSocket::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).unwrap();
        Self {
            packets: hellos(target, CLIENTS),
            senders: (0..SENDERS).map(sender).collect(),
            target,
            sent: AtomicUsize::new(0),
        }
    }

    /// Floods for as long as `work` takes.
    fn run(&self, work: impl FnOnce()) {
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut last = Instant::now();
                while !ended.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_micros(500));
                    let now = Instant::now();
                    let due = (now - last).as_micros() * PACKETS_PER_SECOND / 1_000_000;
                    last = now;
                    // Who was not let run for a while does not make up for it: a wire has no such bursts.
                    for _ in 0..due.min(MOST_AT_ONCE) {
                        self.send();
                    }
                }
            });
            work();
            ended.store(true, Ordering::Relaxed);
        });
    }

    fn send(&self) {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let packet = &self.packets[number % self.packets.len()];
        let sender = &self.senders[number / self.packets.len() * 7 % SENDERS];
        // A full buffer is loss, as on any wire.
        let _ = sender.send_to(packet, self.target);
    }
}
