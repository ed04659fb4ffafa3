//! Authenticated encryption.

use espalier_core::seal::{Algorithm, Sealer, TAG_BYTES};
use napi_derive::napi;

use crate::bytes::{self, ByteArray};
use crate::failure::Failure;

/// Encrypts `message` into `sealed_out`, 16 bytes longer.
#[napi(catch_unwind)]
pub fn seal(
    extended_nonce: bool,
    key: ByteArray<'_>,
    nonce: ByteArray<'_>,
    aad: ByteArray<'_>,
    message: ByteArray<'_>,
    mut sealed_out: ByteArray<'_>,
) -> napi::Result<()> {
    let sealer = Sealer::new(algorithm(extended_nonce), &key, &nonce).map_err(Failure::from)?;
    bytes::fill(&mut sealed_out, &[&aad, &message], |out| {
        let (ciphertext, tag) = split(out, message.len(), "sealedOut")?;
        ciphertext.copy_from_slice(&message);
        tag.copy_from_slice(&sealer.seal_in_place(&aad, ciphertext)?);
        Ok(())
    })?;
    Ok(())
}

/// Decrypts `sealed` into `message_out`, 16 bytes shorter.
#[napi(catch_unwind)]
pub fn open(
    extended_nonce: bool,
    key: ByteArray<'_>,
    nonce: ByteArray<'_>,
    aad: ByteArray<'_>,
    sealed: ByteArray<'_>,
    mut message_out: ByteArray<'_>,
) -> napi::Result<()> {
    let sealer = Sealer::new(algorithm(extended_nonce), &key, &nonce).map_err(Failure::from)?;
    bytes::fill(&mut message_out, &[&aad, &sealed], |out| {
        Ok(sealer.open_into(&aad, &sealed, out)?)
    })?;
    Ok(())
}

fn algorithm(extended_nonce: bool) -> Algorithm {
    if extended_nonce {
        Algorithm::XChaCha20Poly1305
    } else {
        Algorithm::ChaCha20Poly1305
    }
}

fn split<'a>(
    out: &'a mut [u8],
    message_bytes: usize,
    name: &str,
) -> Result<(&'a mut [u8], &'a mut [u8]), Failure> {
    let given = out.len();
    match out.split_at_mut_checked(message_bytes) {
        Some((message, tag)) if tag.len() == TAG_BYTES => Ok((message, tag)),
        _ => Err(Failure::argument(
            name,
            format_args!("{given} bytes do not fit {message_bytes}"),
        )),
    }
}
