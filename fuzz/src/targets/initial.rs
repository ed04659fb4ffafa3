//! Datagrams from an address that nobody has validated, at an endpoint of our own configuration.

use std::sync::{Arc, OnceLock};

use espalier_transport::fuzz;
use quinn::crypto::{ClientConfig, Keys, Session};
use quinn_proto::{ConnectionId, Side, transport_parameters::TransportParameters};

use crate::{
    Target,
    input::Input,
    victim::{Configs, Victim, key},
};

/// Datagrams as they are: two bytes of length before each.
pub(super) const DATAGRAMS: Target = Target {
    name: "datagrams",
    run: |data| {
        let mut input = Input::new(data);
        attack(std::iter::from_fn(|| {
            let length = usize::from(input.u16());
            (!input.is_empty()).then(|| input.take(length).to_vec())
        }));
    },
    seeds: || {
        let initial = |packets: &[&[u8]]| {
            let datagrams = (0..)
                .zip(packets)
                .map(|(number, frames)| initial_packet(number, frames));
            datagrams
                .flat_map(|datagram| prefixed(&datagram))
                .collect::<Vec<u8>>()
        };
        let hello = hello();
        let (first, second) = hello.split_at(1000);
        let mut unknown_version = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0];
        unknown_version.resize(1200, 0);
        vec![
            initial(&[&crypto_frame(0, first), &crypto_frame(1000, second)]),
            initial(&[&[1]]),
            prefixed(&unknown_version),
            // To nobody's connection: earns a stateless reset.
            prefixed(&[&[0x40][..], &[9; 60]].concat()),
        ]
    },
    mutations: 100_000,
    max_bytes: 4096,
    memory: |given| 16 * given + (4 << 20),
};

/// What Initial packets carry, protected as RFC 9001 §5.2 says: two bytes of length before each.
pub(super) const FRAMES: Target = Target {
    name: "initial_frames",
    run: |data| {
        let mut input = Input::new(data);
        attack((0..16).map_while(|number| {
            let length = usize::from(input.u16()).min(1400);
            (!input.is_empty()).then(|| initial_packet(number, input.take(length)))
        }));
    },
    seeds: || {
        let hello = hello();
        let (first, second) = hello.split_at(1000);
        let packets = |packets: &[&[u8]]| {
            packets
                .iter()
                .flat_map(|frames| prefixed(frames))
                .collect::<Vec<u8>>()
        };
        vec![
            packets(&[&crypto_frame(0, first), &crypto_frame(1000, second)]),
            packets(&[&crypto_frame(1000, second), &crypto_frame(0, first)]),
            // PING; ACK of packets 0 to 3; CONNECTION_CLOSE with a reason.
            packets(&[&[1], &[2, 3, 0, 0, 3], &[0x1c, 10, 0, 3, b'b', b'y', b'e']]),
            // Far ahead, and the same bytes twice with another content.
            packets(&[
                &crypto_frame(16_000, b"far"),
                &crypto_frame(0, &[1; 40]),
                &crypto_frame(0, &[2; 40]),
            ]),
        ]
    },
    mutations: 100_000,
    max_bytes: 4096,
    memory: |given| 16 * given + (4 << 20),
};

fn attack(datagrams: impl Iterator<Item = Vec<u8>>) {
    static CONFIGS: OnceLock<Configs> = OnceLock::new();
    let mut victim = Victim::new(CONFIGS.get_or_init(|| Configs::new(None)));
    for datagram in datagrams {
        victim.take(&datagram);
        check(&victim);
    }
    // Retransmissions, then the end of what never became a connection.
    for _ in 0..32 {
        if !victim.let_time_pass() {
            break;
        }
        check(&victim);
    }
    assert!(
        victim.connections.is_empty(),
        "a silent peer leaves nothing behind"
    );
    assert_eq!(victim.open_connections(), 0);
}

fn check(victim: &Victim) {
    for connection in victim.connections.values() {
        assert!(
            connection.is_handshaking() || connection.is_closed(),
            "no address was validated"
        );
    }
    // RFC 9000 §8.1, and the library's reading of it: a datagram may begin while a byte of the budget is left.
    let allowed = 3 * victim.received + DATAGRAM_BYTES - 1;
    assert!(
        victim.sent <= allowed,
        "{} bytes for {}",
        victim.sent,
        victim.received
    );
}

/// A session of a client whose hello and Initial keys the attacker takes.
fn client() -> Box<dyn Session> {
    static CLIENT: OnceLock<Arc<dyn ClientConfig>> = OnceLock::new();
    let config = CLIENT.get_or_init(|| {
        fuzz::sessions(&key())
            .expect("the library takes our configuration")
            .0
    });
    // An initial source connection id, as RFC 9000 §7.3 wants it: id 15, 8 bytes.
    let own = [&[15, 8][..], &SOURCE_ID].concat();
    let parameters = TransportParameters::read(Side::Server, &mut &own[..]).expect("one parameter");
    let session = config.clone().start_session(1, "any-node.invalid", &parameters);
    session.expect("the name is one")
}

fn hello() -> Vec<u8> {
    let mut hello = Vec::new();
    client().write_handshake(&mut hello);
    hello
}

/// RFC 9000 §17.2.2: padded to 1,200 bytes in a datagram of its own.
fn initial_packet(number: u32, frames: &[u8]) -> Vec<u8> {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let keys = KEYS.get_or_init(|| client().initial_keys(&ConnectionId::new(&DESTINATION_ID), Side::Client));
    let tag_bytes = keys.packet.local.tag_len();
    let payload_bytes = frames.len().max(1200 - HEADER_BYTES - tag_bytes);
    let length = u16::try_from(4 + payload_bytes + tag_bytes).expect("a packet of one datagram");
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend(DESTINATION_ID);
    packet.push(8);
    packet.extend(SOURCE_ID);
    packet.push(0);
    // A varint of two bytes.
    packet.extend((0x4000 | length).to_be_bytes());
    packet.extend(number.to_be_bytes());
    packet.extend(frames);
    packet.resize(HEADER_BYTES + payload_bytes + tag_bytes, 0);
    keys.packet
        .local
        .encrypt(number.into(), &mut packet, HEADER_BYTES);
    keys.header.local.encrypt(HEADER_BYTES - 4, &mut packet);
    packet
}

fn crypto_frame(offset: u16, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a piece of a hello");
    let varint = |value: u16| (0x4000 | value).to_be_bytes();
    [&[6][..], &varint(offset), &varint(length), bytes].concat()
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a datagram");
    [&length.to_le_bytes()[..], bytes].concat()
}

/// Every path begins with these (RFC 9000 §14.1), and none grows before its address is validated.
const DATAGRAM_BYTES: usize = 1200;
const DESTINATION_ID: [u8; 8] = [0xd0; 8];
const SOURCE_ID: [u8; 8] = [0x50; 8];
/// First byte, version, both ids with their lengths, no token, two bytes of length, four of number.
const HEADER_BYTES: usize = 1 + 4 + 9 + 9 + 1 + 2 + 4;
