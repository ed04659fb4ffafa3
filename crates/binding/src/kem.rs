//! ML-KEM-768.

use espalier_core::kem::{self, DecapsulationKey};
use napi_derive::napi;

use crate::bytes::{self, ByteArray};
use crate::failure::Failure;
use crate::{arguments, environment};

/// A key from fresh randomness.
#[napi(catch_unwind)]
pub fn decapsulation_key_generate(mut encapsulation_key_out: ByteArray<'_>) -> napi::Result<u32> {
    let key = DecapsulationKey::generate().map_err(Failure::from)?;
    Ok(keep(key, &mut encapsulation_key_out)?)
}

/// The key of a 64-byte seed.
#[napi(catch_unwind)]
pub fn decapsulation_key_from_seed(
    seed: ByteArray<'_>,
    mut encapsulation_key_out: ByteArray<'_>,
) -> napi::Result<u32> {
    let key = DecapsulationKey::from_seed(arguments::exactly("seed", &seed)?).map_err(Failure::from)?;
    Ok(keep(key, &mut encapsulation_key_out)?)
}

/// Wipes a key.
#[napi(catch_unwind)]
pub fn decapsulation_key_close(handle: f64) -> napi::Result<()> {
    Ok(environment::current()?.decapsulation_keys.remove(handle)?)
}

/// The shared secret of a ciphertext.
#[napi(catch_unwind)]
pub fn decapsulate(
    handle: f64,
    ciphertext: ByteArray<'_>,
    mut shared_secret_out: ByteArray<'_>,
) -> napi::Result<()> {
    let key = environment::current()?.decapsulation_keys.get(handle)?;
    let secret = key.decapsulate(&ciphertext).map_err(Failure::from)?;
    Ok(bytes::put(&mut shared_secret_out, 0, secret.as_ref())?)
}

/// A fresh shared secret for the owner of a key.
#[napi(catch_unwind)]
pub fn encapsulate(
    encapsulation_key: ByteArray<'_>,
    mut ciphertext_out: ByteArray<'_>,
    mut shared_secret_out: ByteArray<'_>,
) -> napi::Result<()> {
    let made = kem::encapsulate(&encapsulation_key).map_err(Failure::from)?;
    bytes::put(&mut ciphertext_out, 0, &made.ciphertext)?;
    Ok(bytes::put(
        &mut shared_secret_out,
        0,
        made.shared_secret.as_ref(),
    )?)
}

fn keep(key: DecapsulationKey, out: &mut ByteArray<'_>) -> Result<u32, Failure> {
    bytes::put(out, 0, key.encapsulation_key())?;
    environment::current()?.decapsulation_keys.insert(key)
}
