//! Authenticated encryption: ChaCha20-Poly1305 (RFC 8439) and XChaCha20-Poly1305.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::CoreError;

/// Bytes in a key.
pub const KEY_BYTES: usize = 32;
/// Bytes that sealing adds.
pub const TAG_BYTES: usize = 16;
/// Bytes in the nonce of ChaCha20-Poly1305.
pub const NONCE_BYTES: usize = 12;
/// Bytes in the nonce of XChaCha20-Poly1305: long enough to be drawn at random.
pub const EXTENDED_NONCE_BYTES: usize = 24;

/// Which construction; the nonce's size follows from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// 12-byte nonce that must never repeat under a key.
    ChaCha20Poly1305,
    /// 24-byte nonce (draft-irtf-cfrg-xchacha-03).
    XChaCha20Poly1305,
}

impl Algorithm {
    /// The size of this algorithm's nonce.
    pub fn nonce_bytes(self) -> usize {
        match self {
            Self::ChaCha20Poly1305 => NONCE_BYTES,
            Self::XChaCha20Poly1305 => EXTENDED_NONCE_BYTES,
        }
    }
}

/// One key with one nonce, ready to seal or open one message.
pub struct Sealer {
    key: LessSafeKey,
    nonce: [u8; NONCE_BYTES],
}

impl Sealer {
    /// Prepares `key` and `nonce` for `algorithm`.
    ///
    /// # Errors
    ///
    /// [`CoreError::Argument`] for a key or nonce of the wrong size.
    pub fn new(algorithm: Algorithm, key: &[u8], nonce: &[u8]) -> Result<Self, CoreError> {
        let key: &[u8; KEY_BYTES] = key
            .try_into()
            .map_err(|_| CoreError::size("key", key.len(), KEY_BYTES))?;
        let wrong_nonce = || CoreError::size("nonce", nonce.len(), algorithm.nonce_bytes());
        match algorithm {
            Algorithm::ChaCha20Poly1305 => Self::with(key, nonce.try_into().map_err(|_| wrong_nonce())?),
            Algorithm::XChaCha20Poly1305 => {
                let nonce: &[u8; EXTENDED_NONCE_BYTES] = nonce.try_into().map_err(|_| wrong_nonce())?;
                let (head, tail) = nonce.split_at(16);
                let head: [u8; 16] = head.try_into().map_err(|_| wrong_nonce())?;
                let subkey = Zeroizing::new(<[u8; KEY_BYTES]>::from(chacha20::hchacha::<chacha20::R20>(
                    key.into(),
                    &head.into(),
                )));
                let mut short = [0; NONCE_BYTES];
                short[4..].copy_from_slice(tail);
                Self::with(&subkey, short)
            }
        }
    }

    fn with(key: &[u8; KEY_BYTES], nonce: [u8; NONCE_BYTES]) -> Result<Self, CoreError> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key)
            .map_err(|_| CoreError::Internal("the cipher refused its key"))?;
        Ok(Self {
            key: LessSafeKey::new(key),
            nonce,
        })
    }

    /// Encrypts `message` in place and answers the tag.
    ///
    /// # Errors
    ///
    /// [`CoreError::Internal`] when the message is longer than the cipher allows.
    pub fn seal_in_place(self, aad: &[u8], message: &mut [u8]) -> Result<[u8; TAG_BYTES], CoreError> {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), message)
            .map_err(|_| CoreError::Internal("sealing failed"))?;
        tag.as_ref()
            .try_into()
            .map_err(|_| CoreError::Internal("the tag has an unexpected size"))
    }

    /// Decrypts `sealed` (message ‖ tag) in place and answers the message's length.
    ///
    /// # Errors
    ///
    /// [`CoreError::Decrypt`] when anything was changed; `sealed` then holds nothing of use.
    pub fn open_in_place(self, aad: &[u8], sealed: &mut [u8]) -> Result<usize, CoreError> {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(aad), sealed)
            .map_err(|_| CoreError::Decrypt)?;
        Ok(opened.len())
    }

    /// Decrypts `sealed` (ciphertext ‖ tag) into `message`, which is 16 bytes shorter.
    ///
    /// # Errors
    ///
    /// [`CoreError::Decrypt`] when anything was changed; `message` then holds zeros.
    /// [`CoreError::Argument`] when the sizes do not fit each other.
    pub fn open_into(self, aad: &[u8], sealed: &[u8], message: &mut [u8]) -> Result<(), CoreError> {
        let (ciphertext, tag) = match sealed.split_last_chunk::<TAG_BYTES>() {
            Some((ciphertext, tag)) if ciphertext.len() == message.len() => (ciphertext, tag),
            _ => return Err(CoreError::size("sealed", sealed.len(), message.len() + TAG_BYTES)),
        };
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = self
            .key
            .open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, message);
        opened.map_err(|_| {
            message.fill(0);
            CoreError::Decrypt
        })
    }
}

/// Encrypts `message`: the answer is ciphertext ‖ tag.
///
/// # Errors
///
/// As [`Sealer::new`] and [`Sealer::seal_in_place`].
pub fn seal(
    algorithm: Algorithm,
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    message: &[u8],
) -> Result<Vec<u8>, CoreError> {
    let sealer = Sealer::new(algorithm, key, nonce)?;
    let mut sealed = Vec::with_capacity(message.len() + TAG_BYTES);
    sealed.extend_from_slice(message);
    let tag = sealer.seal_in_place(aad, &mut sealed)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// Decrypts ciphertext ‖ tag.
///
/// # Errors
///
/// As [`Sealer::new`], and [`CoreError::Decrypt`] when anything was changed.
pub fn open(
    algorithm: Algorithm,
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, CoreError> {
    let sealer = Sealer::new(algorithm, key, nonce)?;
    let mut message = sealed.to_vec();
    let length = sealer.open_in_place(aad, &mut message)?;
    message.truncate(length);
    Ok(message)
}
