//! Three implementations of ML-DSA-65 judge each other.

use espalier_core::{
    identity,
    sign::{Provider, SignOptions, SigningKey, verify, verify_with},
};

const MESSAGE: &[u8] = b"an apple tree on a lattice";
const PROVIDERS: [Provider; 2] = [Provider::AwsLc, Provider::PqClean];

#[test]
fn each_provider_verifies_what_the_other_signed() {
    let key = SigningKey::from_seed(&[3; 32]).unwrap();
    for signer in PROVIDERS {
        let signature = key
            .sign_with(
                MESSAGE,
                SignOptions {
                    provider: signer,
                    ..SignOptions::default()
                },
            )
            .unwrap();
        for verifier in PROVIDERS {
            assert!(verify_with(verifier, key.public_key(), MESSAGE, &signature, b"").unwrap());
            assert!(!verify_with(verifier, key.public_key(), b"another", &signature, b"").unwrap());
            let mut flipped = signature;
            flipped[100] ^= 1;
            assert!(!verify_with(verifier, key.public_key(), MESSAGE, &flipped, b"").unwrap());
        }
    }
}

#[test]
fn the_third_implementation_agrees_with_both_under_the_empty_context() {
    let key = SigningKey::from_seed(&[4; 32]).unwrap();
    let options = SignOptions {
        deterministic: true,
        ..SignOptions::default()
    };
    let signature = key.sign_with(MESSAGE, options).unwrap();
    assert_eq!(signature, key.sign_with(MESSAGE, options).unwrap());
    for verifier in PROVIDERS {
        assert!(verify_with(verifier, key.public_key(), MESSAGE, &signature, b"").unwrap());
    }
}

#[test]
fn plain_signatures_are_hedged() {
    let key = SigningKey::from_seed(&[5; 32]).unwrap();
    assert_ne!(key.sign(MESSAGE).unwrap(), key.sign(MESSAGE).unwrap());
}

#[test]
fn a_context_binds_and_has_a_limit() {
    let key = SigningKey::generate().unwrap();
    let with = |context| {
        key.sign_with(
            MESSAGE,
            SignOptions {
                context,
                ..SignOptions::default()
            },
        )
    };
    let signature = with(&[1; 255]).unwrap();
    assert!(verify(key.public_key(), MESSAGE, &signature, &[1; 255]).unwrap());
    assert!(!verify(key.public_key(), MESSAGE, &signature, &[1; 254]).unwrap());
    assert!(!verify(key.public_key(), MESSAGE, &signature, b"").unwrap());
    assert_eq!(with(&[1; 256]).unwrap_err().code(), "INVALID_ARGUMENT");
    assert_eq!(
        verify(key.public_key(), MESSAGE, &signature, &[1; 256])
            .unwrap_err()
            .code(),
        "INVALID_ARGUMENT"
    );
}

#[test]
fn keys_and_signatures_of_another_size_are_refused() {
    let key = SigningKey::generate().unwrap();
    let signature = key.sign(MESSAGE).unwrap();
    assert_eq!(
        verify(&key.public_key()[1..], MESSAGE, &signature, b"")
            .unwrap_err()
            .code(),
        "INVALID_ARGUMENT"
    );
    assert!(!verify(key.public_key(), MESSAGE, &signature[1..], b"").unwrap());
}

#[test]
fn an_identity_is_a_hash_of_the_public_key() {
    let key = SigningKey::from_seed(&[6; 32]).unwrap();
    let expected = blake3::derive_key("espalier 2026-11 node id v1", key.public_key());
    assert_eq!(identity::node_id(key.public_key()), expected);
    assert_eq!(format!("{key:?}"), "SigningKey(secret)");
}
