//! The bytes in front of what services send.

use bytes::Bytes;
use espalier_core::sign::PUBLIC_KEY_BYTES;
use espalier_transport::{Refusal, error::TransportError, fuzz};

use crate::{Target, input::Input};

use super::noise;

pub(super) const STREAM_HEADER: Target = Target {
    name: "stream_header",
    run: |data| {
        let bytes = Input::new(data).array();
        match fuzz::stream_header(bytes) {
            Ok((again, priority)) => {
                assert_eq!(again, bytes, "one encoding for each header");
                assert!((0..5).contains(&priority));
            }
            Err(error) => assert_eq!(error.code(), "PROTOCOL_VIOLATION"),
        }
    },
    seeds: || {
        (0..4)
            .flat_map(|kind| (0..6).map(move |class| vec![kind, class, 2, 1]))
            .collect()
    },
    mutations: 200_000,
    max_bytes: 8,
    memory: |_| 0,
};

pub(super) const DATAGRAM: Target = Target {
    name: "datagram",
    run: |data| match fuzz::split_datagram(Bytes::copy_from_slice(data)) {
        Some((protocol, body)) => {
            assert_eq!([&protocol.to_le_bytes()[..], &body].concat(), data);
        }
        None => assert!(data.len() < 2),
    },
    seeds: || vec![vec![], vec![1], vec![1, 2], noise(0, 1200)],
    mutations: 200_000,
    max_bytes: 2048,
    memory: |given| 4 * given + 128,
};

pub(super) const ANSWER: Target = Target {
    name: "answer",
    run: |data| {
        let encoded = match fuzz::decode_answer(Bytes::copy_from_slice(data)) {
            Ok(body) => fuzz::encode_answer(&Ok(body)),
            Err(TransportError::Remote { code, message }) => {
                assert!((1..=32).contains(&code.len()) && message.len() <= 256);
                fuzz::encode_answer(&Err(Refusal { code, message }))
            }
            Err(error) => {
                assert_eq!(error.code(), "PROTOCOL_VIOLATION");
                return;
            }
        };
        assert_eq!(encoded, data, "one encoding for each answer");
    },
    seeds: || {
        let refusal = |code: &str, message: String| {
            let code = code.to_owned();
            fuzz::encode_answer(&Err(Refusal { code, message })).to_vec()
        };
        vec![
            fuzz::encode_answer(&Ok(Bytes::from_static(b"body"))).to_vec(),
            refusal("NOT_FOUND", String::new()),
            refusal("PEER_REFUSED", "ü€😀".repeat(40)),
            refusal(&"A".repeat(32), "x".repeat(256)),
        ]
    },
    mutations: 300_000,
    max_bytes: 4096,
    memory: |given| 4 * given + 256,
};

pub(super) const PUBLIC_KEY: Target = Target {
    name: "public_key",
    run: |data| {
        if let Some(key) = fuzz::public_key(data) {
            assert_eq!(key.len(), PUBLIC_KEY_BYTES);
            // X.690 in its distinguished form and RFC 9881 leave one spelling.
            assert_eq!([&SPKI_HEAD[..], key].concat(), data);
        }
    },
    seeds: || {
        let key = noise(1, PUBLIC_KEY_BYTES);
        vec![[&SPKI_HEAD[..], &key].concat(), key, SPKI_HEAD.to_vec()]
    },
    mutations: 100_000,
    max_bytes: 4096,
    memory: |given| 4 * given + 8192,
};

/// SEQUENCE { SEQUENCE { OID 2.16.840.1.101.3.4.3.18 }, BIT STRING of 1,953 bytes }.
const SPKI_HEAD: [u8; 22] = [
    0x30, 0x82, 0x07, 0xb2, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12,
    0x03, 0x82, 0x07, 0xa1, 0x00,
];
