//! ML-DSA-65.

use std::ops::Range;

use espalier_core::sign::{self, Provider, SignOptions, SigningKey};
use napi_derive::napi;
use rayon::prelude::*;

use crate::bytes::{self, ByteArray};
use crate::failure::Failure;
use crate::list::ByteList;
use crate::text::Text;
use crate::{arguments, environment, jobs};

/// A key from fresh randomness.
#[napi(catch_unwind)]
pub fn signing_key_generate(mut public_key_out: ByteArray<'_>) -> napi::Result<u32> {
    Ok(keep(
        SigningKey::generate().map_err(Failure::from)?,
        &mut public_key_out,
    )?)
}

/// The key of a 32-byte seed.
#[napi(catch_unwind)]
pub fn signing_key_from_seed(seed: ByteArray<'_>, mut public_key_out: ByteArray<'_>) -> napi::Result<u32> {
    let key = SigningKey::from_seed(arguments::exactly("seed", &seed)?).map_err(Failure::from)?;
    Ok(keep(key, &mut public_key_out)?)
}

/// Wipes a key.
#[napi(catch_unwind)]
pub fn signing_key_close(handle: f64) -> napi::Result<()> {
    Ok(environment::current()?.signing_keys.remove(handle)?)
}

/// A hedged signature under the empty context.
#[napi(catch_unwind)]
pub fn sign(handle: f64, message: ByteArray<'_>, mut signature_out: ByteArray<'_>) -> napi::Result<()> {
    let key = environment::current()?.signing_keys.get(handle)?;
    let signature = key.sign(&message).map_err(Failure::from)?;
    Ok(bytes::put(&mut signature_out, 0, &signature)?)
}

/// A signature with every option.
#[napi(catch_unwind)]
pub fn sign_with(
    handle: f64,
    message: ByteArray<'_>,
    context: ByteArray<'_>,
    deterministic: bool,
    provider: Text,
    mut signature_out: ByteArray<'_>,
) -> napi::Result<()> {
    let key = environment::current()?.signing_keys.get(handle)?;
    let provider = Provider::from_name(&provider).map_err(Failure::from)?;
    let options = SignOptions {
        context: &context,
        deterministic,
        provider,
    };
    let signature = key.sign_with(&message, options).map_err(Failure::from)?;
    Ok(bytes::put(&mut signature_out, 0, &signature)?)
}

/// Whether a signature is valid.
#[napi(catch_unwind)]
pub fn verify(
    public_key: ByteArray<'_>,
    message: ByteArray<'_>,
    signature: ByteArray<'_>,
    context: ByteArray<'_>,
    provider: Text,
) -> napi::Result<bool> {
    let provider = Provider::from_name(&provider).map_err(Failure::from)?;
    let valid = sign::verify_with(provider, &public_key, &message, &signature, &context);
    Ok(valid.map_err(Failure::from)?)
}

/// Checks many signatures on all cores. `parts` holds public key, message, signature and context of each.
#[napi(catch_unwind)]
pub fn verify_many(job: f64, parts: ByteList<'_>) -> napi::Result<()> {
    let job = arguments::job(job)?;
    let parts = parts.slices()?;
    // One copy of everything, because JavaScript may change or free it as soon as this returns.
    let mut copied = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    let ranges: Vec<Range<usize>> = parts
        .iter()
        .map(|part| {
            copied.extend_from_slice(part);
            copied.len() - part.len()..copied.len()
        })
        .collect();
    jobs::spawn(job, move || {
        let check = |item: &[Range<usize>]| {
            let part = |index: usize| &copied[item[index].clone()];
            sign::verify(part(0), part(1), part(2), part(3)).map(u8::from)
        };
        Ok(ranges.par_chunks_exact(4).map(check).collect::<Result<_, _>>()?)
    })?;
    Ok(())
}

fn keep(key: SigningKey, public_key_out: &mut ByteArray<'_>) -> Result<u32, Failure> {
    bytes::put(public_key_out, 0, key.public_key())?;
    environment::current()?.signing_keys.insert(key)
}
