//! Key encapsulation and authenticated encryption, from both sides of their limits.

use espalier_core::{
    kem::{DecapsulationKey, encapsulate},
    seal::{Algorithm, open, seal},
};

#[test]
fn both_sides_share_one_secret() {
    for key in [
        DecapsulationKey::generate().unwrap(),
        DecapsulationKey::from_seed(&[8; 64]).unwrap(),
    ] {
        let sent = encapsulate(key.encapsulation_key()).unwrap();
        assert_eq!(*key.decapsulate(&sent.ciphertext).unwrap(), *sent.shared_secret);
    }
}

#[test]
fn a_changed_ciphertext_gives_another_secret_and_no_error() {
    let key = DecapsulationKey::from_seed(&[9; 64]).unwrap();
    let sent = encapsulate(key.encapsulation_key()).unwrap();
    let mut changed = sent.ciphertext.clone();
    changed[0] ^= 1;
    let rejected = key.decapsulate(&changed).unwrap();
    assert_ne!(*rejected, *sent.shared_secret);
    assert_eq!(*rejected, *key.decapsulate(&changed).unwrap());
}

#[test]
fn keys_that_are_too_short_or_not_reduced_are_refused() {
    let key = DecapsulationKey::from_seed(&[10; 64]).unwrap();
    assert_eq!(
        encapsulate(&key.encapsulation_key()[1..]).err().unwrap().code(),
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        key.decapsulate(&[0; 1087]).err().unwrap().code(),
        "INVALID_ARGUMENT"
    );
    let mut unreduced = *key.encapsulation_key();
    unreduced[..3].fill(0xff);
    assert_eq!(encapsulate(&unreduced).err().unwrap().code(), "KEY_INVALID");
}

#[test]
fn what_was_sealed_opens_and_every_change_is_found() {
    for (algorithm, nonce_bytes) in [
        (Algorithm::ChaCha20Poly1305, 12),
        (Algorithm::XChaCha20Poly1305, 24),
    ] {
        let nonce = vec![1; nonce_bytes];
        let long = vec![5; 70_000];
        for message in [&b""[..], b"x", &long] {
            let sealed = seal(algorithm, &[2; 32], &nonce, b"aad", message).unwrap();
            assert_eq!(sealed.len(), message.len() + 16);
            assert_eq!(
                open(algorithm, &[2; 32], &nonce, b"aad", &sealed).unwrap(),
                message
            );
            assert_eq!(
                open(algorithm, &[2; 32], &nonce, b"add", &sealed)
                    .unwrap_err()
                    .code(),
                "DECRYPT_FAILED"
            );
            assert_eq!(
                open(algorithm, &[3; 32], &nonce, b"aad", &sealed)
                    .unwrap_err()
                    .code(),
                "DECRYPT_FAILED"
            );
            for at in [0, sealed.len() - 1] {
                let mut flipped = sealed.clone();
                flipped[at] ^= 0x80;
                assert_eq!(
                    open(algorithm, &[2; 32], &nonce, b"aad", &flipped)
                        .unwrap_err()
                        .code(),
                    "DECRYPT_FAILED"
                );
            }
        }
        assert_eq!(
            open(algorithm, &[2; 32], &nonce, b"", &[0; 15])
                .unwrap_err()
                .code(),
            "DECRYPT_FAILED"
        );
        for wrong in [0, nonce_bytes - 1, nonce_bytes + 1] {
            let error = seal(algorithm, &[2; 32], &vec![1; wrong], b"", b"").unwrap_err();
            assert_eq!(error.code(), "INVALID_ARGUMENT");
        }
        assert_eq!(
            seal(algorithm, &[2; 31], &nonce, b"", b"").unwrap_err().code(),
            "INVALID_ARGUMENT"
        );
    }
}
