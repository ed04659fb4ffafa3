//! PQClean's implementation: independent of the default one, so that each can check the other.

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
        let Ok(public_key) = mldsa65::PublicKey::from_bytes(public_key) else {
            return false;
        };
        let Ok(signature) = mldsa65::DetachedSignature::from_bytes(signature) else {
            return false;
        };
        mldsa65::verify_detached_signature(&signature, message, &public_key).is_ok()
    }
}
