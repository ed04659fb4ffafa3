//! `PQClean`'s implementation: independent of the default one, so that each can check the other.

use pqcrypto_mldsa::mldsa65;
use pqcrypto_traits::sign::{DetachedSignature as _, PublicKey as _, SecretKey as _};

use super::{PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SignatureProvider, SigningKey, aws_lc};
use crate::CoreError;

pub(super) struct PqClean;

impl SignatureProvider for PqClean {
    fn sign(&self, key: &SigningKey, message: &[u8]) -> Result<[u8; SIGNATURE_BYTES], CoreError> {
        // The library generates keys from system randomness only, so the seed is expanded elsewhere.
        let expanded = aws_lc::expanded_key(&key.pair)?;
        let secret = mldsa65::SecretKey::from_bytes(&expanded)
            .map_err(|_| CoreError::Internal("the expanded key was refused"))?;
        let signature = mldsa65::detached_sign(message, &secret);
        // Its C code reports a failure as an empty signature.
        signature
            .as_bytes()
            .try_into()
            .map_err(|_| CoreError::Internal("signing failed"))
    }

    fn verify(
        &self,
        public_key: &[u8; PUBLIC_KEY_BYTES],
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> bool {
        if !response_is_short(signature) {
            return false;
        }
        let Ok(public_key) = mldsa65::PublicKey::from_bytes(public_key) else {
            return false;
        };
        let Ok(signature) = mldsa65::DetachedSignature::from_bytes(signature) else {
            return false;
        };
        mldsa65::verify_detached_signature(&signature, message, &public_key).is_ok()
    }
}

/// FIPS 204 algorithm 8, line 13: no coefficient of z reaches γ1 − β. The library's AVX2 code leaves this check
/// out, and without it forging is easier than the scheme promises (found by the Wycheproof vectors).
fn response_is_short(signature: &[u8; SIGNATURE_BYTES]) -> bool {
    // Algorithm 19: 20 bits for each coefficient, which hold γ1 − z.
    let in_bounds = |packed: u32| packed > BETA && packed < 2 * GAMMA_1 - BETA;
    signature[CHALLENGE_BYTES..CHALLENGE_BYTES + RESPONSE_BYTES]
        .chunks_exact(5)
        .all(|pair| {
            let byte = |at: usize| u32::from(pair[at]);
            in_bounds(byte(0) | byte(1) << 8 | (byte(2) & 15) << 16)
                && in_bounds(byte(2) >> 4 | byte(3) << 4 | byte(4) << 12)
        })
}

/// FIPS 204 table 1.
const GAMMA_1: u32 = 1 << 19;
const BETA: u32 = 196;
/// λ/4 bytes of the challenge hash, then five polynomials of 256 coefficients in 20 bits.
const CHALLENGE_BYTES: usize = 48;
const RESPONSE_BYTES: usize = 5 * 640;
