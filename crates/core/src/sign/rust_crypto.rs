//! Context strings and deterministic signatures, which only this implementation offers from a seed.

use ml_dsa::{
    B32, EncodedSignature, EncodedVerifyingKey, ExpandedSigningKey, MlDsa65, Signature, VerifyingKey,
};

use super::{PUBLIC_KEY_BYTES, SEED_BYTES, SIGNATURE_BYTES};
use crate::{CoreError, random};

/// FIPS 204 algorithm 2: the pre-fix 0 ‖ |ctx| ‖ ctx makes the pure variant of a message.
pub(super) fn sign(
    seed: &[u8; SEED_BYTES],
    message: &[u8],
    context: &[u8],
    deterministic: bool,
) -> Result<[u8; SIGNATURE_BYTES], CoreError> {
    let length = u8::try_from(context.len()).map_err(|_| CoreError::size("context", context.len(), 255))?;
    let randomness = if deterministic {
        B32::default()
    } else {
        B32::from(random::bytes::<32>()?)
    };
    let key = ExpandedSigningKey::<MlDsa65>::from_seed(&B32::from(*seed));
    let signature = key.sign_internal(&[&[0, length], context, message], &randomness);
    Ok(signature.encode().into())
}

pub(super) fn verify(
    public_key: &[u8; PUBLIC_KEY_BYTES],
    message: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
    context: &[u8],
) -> bool {
    let Ok(encoded) = EncodedSignature::<MlDsa65>::try_from(signature.as_slice()) else {
        return false;
    };
    let Some(signature) = Signature::<MlDsa65>::decode(&encoded) else {
        return false;
    };
    let Ok(encoded) = EncodedVerifyingKey::<MlDsa65>::try_from(public_key.as_slice()) else {
        return false;
    };
    VerifyingKey::<MlDsa65>::decode(&encoded).verify_with_context(message, context, &signature)
}
