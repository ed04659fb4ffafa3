//! The default provider.

use aws_lc_rs::{
    encoding::AsRawBytes,
    signature::{KeyPair, ML_DSA_65, ML_DSA_65_SIGNING, PqdsaKeyPair, UnparsedPublicKey},
};
use zeroize::Zeroizing;

use super::{
    EXPANDED_KEY_BYTES, PUBLIC_KEY_BYTES, SEED_BYTES, SIGNATURE_BYTES, SignatureProvider, SigningKey,
};
use crate::CoreError;

pub(super) struct AwsLc;

impl SignatureProvider for AwsLc {
    fn sign(&self, key: &SigningKey, message: &[u8]) -> Result<[u8; SIGNATURE_BYTES], CoreError> {
        let mut signature = [0; SIGNATURE_BYTES];
        match key.pair.sign(message, &mut signature) {
            Ok(SIGNATURE_BYTES) => Ok(signature),
            _ => Err(CoreError::Internal("signing failed")),
        }
    }

    fn verify(
        &self,
        public_key: &[u8; PUBLIC_KEY_BYTES],
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> bool {
        UnparsedPublicKey::new(&ML_DSA_65, public_key)
            .verify(message, signature)
            .is_ok()
    }
}

pub(super) fn key_pair(seed: &[u8; SEED_BYTES]) -> Result<(PqdsaKeyPair, [u8; PUBLIC_KEY_BYTES]), CoreError> {
    let failed = CoreError::Internal("the key could not be derived from its seed");
    let pair = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, seed).map_err(|_| failed.clone())?;
    let public_key = pair.public_key().as_ref().try_into().map_err(|_| failed)?;
    Ok((pair, public_key))
}

/// The expanded secret key, for a provider that can't start from a seed.
#[cfg_attr(not(feature = "pqclean"), allow(dead_code))]
pub(super) fn expanded_key(pair: &PqdsaKeyPair) -> Result<Zeroizing<Vec<u8>>, CoreError> {
    let raw = pair
        .private_key()
        .as_raw_bytes()
        .map_err(|_| CoreError::Internal("the key could not be expanded"))?;
    let bytes = Zeroizing::new(raw.as_ref().to_vec());
    if bytes.len() != EXPANDED_KEY_BYTES {
        return Err(CoreError::Internal("the expanded key has an unexpected size"));
    }
    Ok(bytes)
}
