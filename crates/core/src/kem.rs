//! ML-KEM-768 (FIPS 203).

use aws_lc_rs::kem::{self, ML_KEM_768};
#[allow(deprecated)]
// Deprecated as a storage format; here it only hands a key from one library to the other.
use ml_kem::ExpandedKeyEncoding as _;
use ml_kem::{EncapsulationKey768, KeyExport as _, ml_kem_768};
use zeroize::Zeroizing;

use crate::CoreError;

/// Bytes in the seed d ‖ z that a key pair is derived from.
pub const SEED_BYTES: usize = 64;
/// Bytes in an encapsulation key (FIPS 203 table 3).
pub const ENCAPSULATION_KEY_BYTES: usize = 1184;
/// Bytes in a ciphertext (FIPS 203 table 3).
pub const CIPHERTEXT_BYTES: usize = 1088;
/// Bytes in a shared secret.
pub const SHARED_SECRET_BYTES: usize = 32;

/// A secret decapsulation key.
pub struct DecapsulationKey {
    secret: kem::DecapsulationKey<kem::AlgorithmId>,
    encapsulation_key: Box<[u8; ENCAPSULATION_KEY_BYTES]>,
}

impl DecapsulationKey {
    /// A key from fresh randomness.
    ///
    /// # Errors
    ///
    /// [`CoreError::Internal`] when the system gives no randomness.
    pub fn generate() -> Result<Self, CoreError> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        crate::random::fill(seed.as_mut())?;
        Self::from_seed(&seed)
    }

    /// The key of a seed d ‖ z (FIPS 203 algorithm 16).
    ///
    /// # Errors
    ///
    /// [`CoreError::Internal`] when the implementation fails.
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Self, CoreError> {
        let failed = CoreError::Internal("the key could not be derived from its seed");
        let derived = ml_kem_768::DecapsulationKey::from_seed((*seed).into());
        let encapsulation_key: [u8; ENCAPSULATION_KEY_BYTES] = derived.encapsulation_key().to_bytes().into();
        // aws-lc decapsulates three times faster, but takes expanded keys only.
        #[allow(deprecated)]
        let expanded = Zeroizing::new(<[u8; 2400]>::from(derived.to_expanded_bytes()));
        let secret = kem::DecapsulationKey::new(&ML_KEM_768, expanded.as_slice()).map_err(|_| failed)?;
        Ok(Self {
            secret,
            encapsulation_key: Box::new(encapsulation_key),
        })
    }

    /// The public half, 1,184 bytes.
    pub fn encapsulation_key(&self) -> &[u8; ENCAPSULATION_KEY_BYTES] {
        &self.encapsulation_key
    }

    /// The shared secret of a ciphertext. A ciphertext that was changed gives a secret that nobody else
    /// knows (implicit rejection, FIPS 203 §6.3).
    ///
    /// # Errors
    ///
    /// [`CoreError::Argument`] for a ciphertext of the wrong size.
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<[u8; SHARED_SECRET_BYTES]>, CoreError> {
        if ciphertext.len() != CIPHERTEXT_BYTES {
            return Err(CoreError::size("ciphertext", ciphertext.len(), CIPHERTEXT_BYTES));
        }
        let secret = self
            .secret
            .decapsulate(ciphertext.into())
            .map_err(|_| CoreError::Internal("decapsulation failed"))?;
        shared(secret.as_ref())
    }
}

impl std::fmt::Debug for DecapsulationKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DecapsulationKey(secret)")
    }
}

/// What [`encapsulate`] gives: what to send, and what both sides then share.
pub struct Encapsulated {
    /// For the owner of the key, 1,088 bytes.
    pub ciphertext: Vec<u8>,
    /// 32 bytes.
    pub shared_secret: Zeroizing<[u8; SHARED_SECRET_BYTES]>,
}

/// A fresh shared secret for the owner of `encapsulation_key`.
///
/// # Errors
///
/// [`CoreError::Argument`] for a key of the wrong size, [`CoreError::Key`] for one whose coefficients are
/// not reduced (FIPS 203 §7.2, modulus check).
pub fn encapsulate(encapsulation_key: &[u8]) -> Result<Encapsulated, CoreError> {
    let bytes: &[u8; ENCAPSULATION_KEY_BYTES] = encapsulation_key.try_into().map_err(|_| {
        CoreError::size(
            "encapsulationKey",
            encapsulation_key.len(),
            ENCAPSULATION_KEY_BYTES,
        )
    })?;
    let unreduced = || CoreError::Key("the encapsulation key has coefficients over the modulus".to_owned());
    EncapsulationKey768::new(bytes.into()).map_err(|_| unreduced())?;
    let key = kem::EncapsulationKey::new(&ML_KEM_768, bytes).map_err(|_| unreduced())?;
    let (ciphertext, secret) = key
        .encapsulate()
        .map_err(|_| CoreError::Internal("encapsulation failed"))?;
    Ok(Encapsulated {
        ciphertext: ciphertext.as_ref().to_vec(),
        shared_secret: shared(secret.as_ref())?,
    })
}

fn shared(bytes: &[u8]) -> Result<Zeroizing<[u8; SHARED_SECRET_BYTES]>, CoreError> {
    let secret = bytes
        .try_into()
        .map_err(|_| CoreError::Internal("the secret has an unexpected size"))?;
    Ok(Zeroizing::new(secret))
}
