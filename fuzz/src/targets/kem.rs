//! Ciphertexts and encapsulation keys, against a second implementation.

use std::sync::OnceLock;

use espalier_core::kem::{
    CIPHERTEXT_BYTES, DecapsulationKey, ENCAPSULATION_KEY_BYTES, SEED_BYTES, encapsulate,
};
use ml_kem::{Decapsulate as _, ml_kem_768};

use crate::Target;

use super::noise;

pub(super) const DECAPSULATE: Target = Target {
    name: "decapsulate",
    run: |data| {
        let (key, oracle) = keys();
        let secret = key.decapsulate(data);
        let Ok(ciphertext) = <&[u8; CIPHERTEXT_BYTES]>::try_from(data) else {
            assert_eq!(secret.err().map(|error| error.code()), Some("INVALID_ARGUMENT"));
            return;
        };
        let expected = oracle.decapsulate(&(*ciphertext).into());
        let secret = secret.expect("every ciphertext of the right size has a secret");
        assert_eq!(
            secret.as_slice(),
            expected.as_slice(),
            "also the secret of implicit rejection"
        );
    },
    seeds: || {
        let sent = encapsulate(keys().0.encapsulation_key()).expect("a key of our own");
        vec![
            sent.ciphertext,
            noise(9, CIPHERTEXT_BYTES),
            vec![0xff; CIPHERTEXT_BYTES],
        ]
    },
    mutations: 100_000,
    max_bytes: 2048,
    memory: |given| given + 8192,
};

pub(super) const ENCAPSULATE: Target = Target {
    name: "encapsulate",
    run: |data| match encapsulate(data) {
        Ok(sent) => {
            assert!(is_reduced(data) && data.len() == ENCAPSULATION_KEY_BYTES);
            assert_eq!(sent.ciphertext.len(), CIPHERTEXT_BYTES);
            if data == keys().0.encapsulation_key() {
                let secret = keys().0.decapsulate(&sent.ciphertext);
                assert_eq!(secret, Ok(sent.shared_secret));
            }
        }
        Err(error) if data.len() == ENCAPSULATION_KEY_BYTES => {
            assert_eq!(error.code(), "KEY_INVALID");
            assert!(!is_reduced(data), "every reduced key is taken");
        }
        Err(error) => assert_eq!(error.code(), "INVALID_ARGUMENT"),
    },
    seeds: || {
        let reduced = [&noise(10, 32)[..], &[0; 1152]].concat();
        vec![
            keys().0.encapsulation_key().to_vec(),
            reduced,
            vec![0xff; ENCAPSULATION_KEY_BYTES],
        ]
    },
    mutations: 100_000,
    max_bytes: 2048,
    memory: |given| given + 16_384,
};

/// FIPS 203 §7.2, modulus check: twelve bits for each coefficient, all below q = 3329; 32 bytes of ρ follow.
fn is_reduced(key: &[u8]) -> bool {
    let packed = &key[..key.len().saturating_sub(32)];
    packed.chunks_exact(3).all(|pair| {
        let [low, middle, high] = [pair[0], pair[1], pair[2]].map(u16::from);
        (low | (middle & 15) << 8) < 3329 && (middle >> 4 | high << 4) < 3329
    })
}

fn keys() -> &'static (DecapsulationKey, ml_kem_768::DecapsulationKey) {
    static KEYS: OnceLock<(DecapsulationKey, ml_kem_768::DecapsulationKey)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let seed: [u8; SEED_BYTES] = std::array::from_fn(|at| u8::try_from(at).unwrap_or(0));
        let key = DecapsulationKey::from_seed(&seed).expect("every seed has a key");
        (key, ml_kem_768::DecapsulationKey::from_seed(seed.into()))
    })
}
