//! Cryptography and erasure coding on one thread.

use std::{hint::black_box, time::Duration};

use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768},
    signature::{KeyPair, ML_DSA_65, ML_DSA_65_SIGNING, PqdsaKeyPair, UnparsedPublicKey},
};
use serde_json::Value;

use crate::{
    commands::{Command, Failure, repeat, serve},
    erasure,
};

const SIGNATURE_BYTES: usize = 3309;

pub fn run() -> Result<(), Failure> {
    serve(|command| {
        let time = command.duration()?;
        match command.op() {
            "sign" => sign(time, command.number("messageBytes")?),
            "verify" => verify(time, command.number("messageBytes")?),
            "encapsulate" => encapsulate(time),
            "decapsulate" => decapsulate(time),
            "seal" => seal(time, command.number("messageBytes")?),
            "hash" => Ok(hash(time, command.number("messageBytes")?)),
            "encode" => erasure::encode(time, &layout(command)?),
            "repair" => erasure::repair(time, &layout(command)?),
            other => Err(format!("no operation {other:?}").into()),
        }
    })
}

fn layout(command: &Command) -> Result<erasure::Layout, Failure> {
    Ok(erasure::Layout {
        data: command.number("dataShards")?,
        parity: command.number("parityShards")?,
        shard_bytes: command.number("shardBytes")?,
    })
}

fn sign(time: Duration, bytes: usize) -> Result<Value, Failure> {
    let pair = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, &[7; 32])?;
    let mut message = vec![1; bytes];
    let mut signature = [0; SIGNATURE_BYTES];
    // The time to sign depends on the message, so every round walks over many of them.
    Ok(repeat(time, || {
        count_up(&mut message);
        pair.sign(&message, &mut signature)
            .expect("the buffer has the size of a signature");
        black_box(&signature);
    }))
}

fn verify(time: Duration, bytes: usize) -> Result<Value, Failure> {
    let pair = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, &[7; 32])?;
    let message = vec![1; bytes];
    let mut signature = [0; SIGNATURE_BYTES];
    pair.sign(&message, &mut signature)?;
    let key = pair.public_key().as_ref().to_vec();
    Ok(repeat(time, || {
        UnparsedPublicKey::new(&ML_DSA_65, &key)
            .verify(&message, black_box(&signature))
            .expect("the signature is of this key");
    }))
}

fn encapsulate(time: Duration) -> Result<Value, Failure> {
    let key = DecapsulationKey::generate(&ML_KEM_768)?.encapsulation_key()?;
    let key = key.key_bytes()?.as_ref().to_vec();
    // From the bytes that a peer sent, as every other contestant does but Node, which keeps a parsed key.
    Ok(repeat(time, || {
        let key = EncapsulationKey::new(&ML_KEM_768, black_box(&key)).expect("its size is right");
        black_box(key.encapsulate().expect("a generated key is valid"));
    }))
}

fn decapsulate(time: Duration) -> Result<Value, Failure> {
    let key = DecapsulationKey::generate(&ML_KEM_768)?;
    let (ciphertext, _) = key.encapsulation_key()?.encapsulate()?;
    let ciphertext = ciphertext.as_ref().to_vec();
    Ok(repeat(time, || {
        black_box(
            key.decapsulate(Ciphertext::from(ciphertext.as_slice()))
                .expect("its size is right"),
        );
    }))
}

fn seal(time: Duration, bytes: usize) -> Result<Value, Failure> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32])?);
    let mut nonce = [0; 12];
    let mut message = vec![1; bytes];
    Ok(repeat(time, || {
        count_up(&mut nonce);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut message);
        black_box(tag.expect("the size is allowed").as_ref());
    }))
}

fn hash(time: Duration, bytes: usize) -> Value {
    let message = vec![1; bytes];
    repeat(time, || {
        black_box(blake3::hash(black_box(&message)));
    })
}

fn count_up(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().take(8) {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
}
