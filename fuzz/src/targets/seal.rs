//! Sealed messages.

use espalier_core::seal::{Algorithm, Sealer, TAG_BYTES, open, seal};

use crate::{Target, input::Input};

use super::noise;

/// Algorithm, length of the associated data, key, nonce, associated data, sealed message.
pub(super) const TARGET: Target = Target {
    name: "seal_open",
    run: |data| {
        let mut input = Input::new(data);
        let algorithm = algorithm(input.u8());
        let aad_bytes = usize::from(input.u8());
        let (key, nonce): ([u8; 32], [u8; 24]) = (input.array(), input.array());
        let nonce = &nonce[..algorithm.nonce_bytes()];
        let aad = input.take(aad_bytes);
        let sealed = input.rest();

        let opened = open(algorithm, &key, nonce, aad, sealed);

        let mut message = vec![1; sealed.len().saturating_sub(TAG_BYTES)];
        let sealer = Sealer::new(algorithm, &key, nonce).expect("key and nonce have their sizes");
        let apart = sealer.open_into(aad, sealed, &mut message);
        match opened {
            Ok(opened) => {
                assert_eq!((apart, &message), (Ok(()), &opened), "both ways open the same");
                assert_eq!(seal(algorithm, &key, nonce, aad, &opened).as_deref(), Ok(sealed));
            }
            Err(error) => {
                assert_eq!(error.code(), "DECRYPT_FAILED");
                assert!(apart.is_err(), "both ways refuse the same");
                assert!(sealed.len() < TAG_BYTES || message.iter().all(|byte| *byte == 0));
            }
        }
    },
    seeds: || {
        let mut seeds = Vec::new();
        for (number, message_bytes) in [(0, 0), (0, 100), (1, 1), (1, 64), (1, 1000)] {
            let algorithm = algorithm(number);
            let (key, nonce, aad) = (noise(5, 32), noise(6, 24), noise(7, 20));
            let message = noise(8, message_bytes);
            let sealed = seal(algorithm, &key, &nonce[..algorithm.nonce_bytes()], &aad, &message);
            let sealed = sealed.expect("key and nonce have their sizes");
            seeds.push([&[number, 20][..], &key, &nonce, &aad, &sealed].concat());
        }
        seeds
    },
    mutations: 100_000,
    max_bytes: 4096,
    memory: |given| 4 * given + 4096,
};

fn algorithm(number: u8) -> Algorithm {
    if number & 1 == 0 {
        Algorithm::ChaCha20Poly1305
    } else {
        Algorithm::XChaCha20Poly1305
    }
}
