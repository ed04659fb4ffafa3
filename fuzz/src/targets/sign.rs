//! Keys and signatures of others: three implementations have to agree about each.

use std::sync::OnceLock;

use espalier_core::sign::{
    PUBLIC_KEY_BYTES, Provider, SIGNATURE_BYTES, SignOptions, SigningKey, verify, verify_with,
};
use ml_dsa::{EncodedSignature, EncodedVerifyingKey, MlDsa65, Signature, VerifyingKey};

use crate::{Target, input::Input};

/// Flags (1: another key than the known one follows), then key, signature and message.
pub(super) const TARGET: Target = Target {
    name: "verify_signature",
    run: |data| {
        let mut input = Input::new(data);
        let own = input.u8() & 1 == 0;
        let public_key: [u8; PUBLIC_KEY_BYTES] = if own { *key().public_key() } else { input.array() };
        let signature: [u8; SIGNATURE_BYTES] = input.array();
        let message = input.rest();

        let default = verify(&public_key, message, &signature, b"");

        let second = verify_with(Provider::PqClean, &public_key, message, &signature, b"");
        assert_eq!(default, second, "both providers agree");
        assert_eq!(
            default,
            Ok(third(&public_key, message, &signature)),
            "so does the third"
        );
        if own && default == Ok(true) {
            assert_eq!(message, MESSAGE, "nothing else was ever signed");
        }
        for size in [0, SIGNATURE_BYTES - 1] {
            assert_eq!(verify(&public_key, message, &signature[..size], b""), Ok(false));
        }
    },
    seeds: || {
        let deterministic = SignOptions {
            deterministic: true,
            ..SignOptions::default()
        };
        let key = key();
        let signature = key.sign_with(MESSAGE, deterministic).expect("a key of our own");
        vec![
            [&[0][..], &signature, MESSAGE].concat(),
            [&[1][..], key.public_key(), &signature, MESSAGE].concat(),
        ]
    },
    mutations: 100_000,
    max_bytes: 1 + PUBLIC_KEY_BYTES + SIGNATURE_BYTES + 64,
    // The oracle keeps the expanded matrix in boxes.
    memory: |given| given + (1 << 20),
};

const MESSAGE: &[u8] = b"what was signed";

fn third(public_key: &[u8; PUBLIC_KEY_BYTES], message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    let key = EncodedVerifyingKey::<MlDsa65>::from(*public_key);
    let Some(signature) = Signature::<MlDsa65>::decode(&EncodedSignature::<MlDsa65>::from(*signature)) else {
        return false;
    };
    VerifyingKey::<MlDsa65>::decode(&key).verify_with_context(message, b"", &signature)
}

fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::from_seed(&[11; 32]).expect("every seed has a key"))
}
