//! Frames of a peer that has passed the handshake.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use espalier_transport::fuzz;
use quinn_proto::Dir;

use crate::{
    Target,
    input::Input,
    plain::PlainConfig,
    victim::{Configs, Victim},
};

/// The contents of 1-RTT packets: two bytes of length before each.
pub(super) const TARGET: Target = Target {
    name: "frames",
    run: |data| {
        static CONFIGS: OnceLock<Configs> = OnceLock::new();
        let configs = CONFIGS.get_or_init(|| Configs::new(Some(Arc::new(PlainConfig))));
        let mut victim = connected(configs);
        let id = server_id(&victim.first_answer);
        let mut input = Input::new(data);
        for number in 0..64_u32 {
            let length = usize::from(input.u16()).min(1400);
            if input.is_empty() {
                break;
            }
            let packet = [&[0x43][..], &id, &number.to_be_bytes(), input.take(length)].concat();
            victim.take(&packet);
            take_what_came(&mut victim);
        }
        for _ in 0..4 {
            victim.let_time_pass();
        }
        // Acknowledgements, probes and goodbyes: a peer can't make much of little.
        assert!(
            victim.sent <= 16 * victim.received + 65_536,
            "{} for {}",
            victim.sent,
            victim.received
        );
    },
    seeds: || {
        let packets = |packets: &[&[u8]]| {
            let prefixed = packets.iter().flat_map(|frames| {
                let length = u16::try_from(frames.len()).expect("a packet");
                [&length.to_le_bytes()[..], frames].concat()
            });
            prefixed.collect::<Vec<u8>>()
        };
        vec![
            // A request on stream 0 with its end; the same in two pieces, the second first.
            packets(&[b"\x0b\x00\x08\x01\x01\x02\x01body"]),
            packets(&[b"\x0f\x00\x04\x04body", b"\x0e\x00\x00\x04\x01\x01\x02\x01"]),
            // Streams 0, 4 and 8; RESET_STREAM; STOP_SENDING.
            packets(&[
                b"\x0a\x00\x01a\x0a\x04\x01b\x08\x08c",
                b"\x04\x00\x05\x01",
                b"\x05\x04\x05",
            ]),
            // DATAGRAM with and without length; PING; ACK; MAX_DATA; MAX_STREAM_DATA; MAX_STREAMS.
            packets(&[
                b"\x31\x04\x02\x01hi\x01",
                b"\x30\x02\x01rest",
                b"\x02\x00\x00\x00\x00",
                b"\x10\x50\x00\x12\x44\x00",
            ]),
            packets(&[
                b"\x0a\x00\x01a",
                b"\x11\x00\x50\x00\x14\x40\xff\x15\x00\x20\x16\x05\x17\x06",
            ]),
            // NEW_CONNECTION_ID; RETIRE_CONNECTION_ID; PATH_CHALLENGE; PATH_RESPONSE; NEW_TOKEN; CONNECTION_CLOSE.
            packets(&[
                b"\x18\x01\x00\x08abcdefgh0123456789abcdef",
                b"\x19\x00",
                b"\x1a12345678\x1b12345678",
                b"\x07\x03abc",
                b"\x1d\x00\x03bye",
            ]),
            // CRYPTO after the handshake; ACK_FREQUENCY; IMMEDIATE_ACK.
            packets(&[b"\x06\x00\x03abc", b"\x40\xaf\x00\x0a\x44\x00\x01", b"\x1f"]),
        ]
    },
    mutations: 100_000,
    max_bytes: 8192,
    // State of streams up to the limit, reassembly of what was really sent, answers.
    memory: |given| 64 * given + (1 << 20),
};

/// A connection whose client has proved its address, with no bytes of its own on the way.
fn connected(configs: &Configs) -> Victim {
    let mut victim = Victim::new(configs);
    // initial_source_connection_id; initial_max_data; initial_max_stream_data for all three kinds; both
    // initial_max_streams; max_datagram_frame_size (RFC 9000 §18.2, RFC 9221 §3).
    let mut parameters = [&[15, 8][..], &CLIENT_ID].concat();
    for id in [4, 5, 6, 7, 8, 9] {
        parameters.extend([id, 2, 0x44, 0]);
    }
    parameters.extend([0x20, 2, 0x44, 0xb0]);
    victim.take(&long_packet(0xc3, [0xd0; 8], &parameters));
    let id = server_id(&victim.first_answer);
    victim.take(&long_packet(0xe3, id, b"done"));
    let connection = victim
        .connections
        .values()
        .next()
        .expect("an honest client gets a connection");
    assert!(!connection.is_handshaking() && !connection.is_closed());
    victim
}

/// Takes streams and datagrams as an endpoint does.
fn take_what_came(victim: &mut Victim) {
    for connection in victim.connections.values_mut() {
        while let Some(id) = connection.streams().accept(Dir::Bi) {
            let mut stream = connection.recv_stream(id);
            let Ok(mut chunks) = stream.read(true) else {
                continue;
            };
            while let Ok(Some(chunk)) = chunks.next(65_536) {
                if let Some(header) = chunk.bytes.first_chunk() {
                    let _ = fuzz::stream_header(*header);
                }
            }
            let _ = chunks.finalize();
        }
        assert_eq!(connection.streams().accept(Dir::Uni), None, "nobody may open one");
        while let Some(datagram) = connection.datagrams().recv() {
            let length = datagram.len();
            let split: Option<(u16, Bytes)> = fuzz::split_datagram(datagram);
            assert_eq!(split.is_some(), length >= 2);
        }
    }
    victim.send();
}

/// An Initial (0xc3) or Handshake (0xe3) packet with one CRYPTO frame, padded (RFC 9000 §17.2).
fn long_packet(first: u8, destination: [u8; 8], message: &[u8]) -> Vec<u8> {
    let mut packet = vec![first, 0, 0, 0, 1, 8];
    packet.extend(destination);
    packet.push(8);
    packet.extend(CLIENT_ID);
    if first == 0xc3 {
        // No token.
        packet.push(0);
    }
    let rest = 1200 - packet.len() - 2;
    packet.extend((0x4000 | u16::try_from(rest).expect("less than a datagram")).to_be_bytes());
    packet.extend([0; 4]);
    packet.extend([6, 0, u8::try_from(message.len()).expect("a short message")]);
    packet.extend(message);
    packet.resize(1200, 0);
    packet
}

/// The id that the victim chose, from the long header of its answer.
fn server_id(answer: &[u8]) -> [u8; 8] {
    let own = answer
        .get(6 + 8 + 1..6 + 8 + 1 + 8)
        .expect("an answer with a long header");
    own.try_into().expect("eight bytes")
}

const CLIENT_ID: [u8; 8] = [0x50; 8];
