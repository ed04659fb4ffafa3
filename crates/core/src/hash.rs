//! BLAKE3: hash, keyed hash and key derivation, in one piece or streaming.

use blake3::Hasher as Blake3;

use crate::CoreError;

/// Bytes in a digest, a key and a derived key.
pub const DIGEST_BYTES: usize = 32;
/// The longest extended output that is handed out at once.
pub const MAX_OUTPUT_BYTES: usize = 65_536;
/// From here on several threads hash one input; below, waking them costs more than it saves.
pub const PARALLEL_FROM_BYTES: usize = 1 << 20;

/// A 32-byte BLAKE3 digest.
pub type Digest = [u8; DIGEST_BYTES];

/// The BLAKE3 hash of `data`.
pub fn hash(data: &[u8]) -> Digest {
    if data.len() < PARALLEL_FROM_BYTES {
        return *blake3::hash(data).as_bytes();
    }
    let mut hasher = Hasher::new();
    hasher.update(data);
    hasher.digest()
}

/// The keyed BLAKE3 hash of `data`: a MAC.
///
/// # Errors
///
/// [`CoreError::Argument`] when `key` is not 32 bytes.
pub fn keyed_hash(key: &[u8], data: &[u8]) -> Result<Digest, CoreError> {
    let mut hasher = Hasher::keyed(key)?;
    hasher.update(data);
    Ok(hasher.digest())
}

/// 32 bytes derived from `material` for the purpose that `context` names.
pub fn derive_key(context: &str, material: &[u8]) -> Digest {
    let mut hasher = Hasher::derive(context);
    hasher.update(material);
    hasher.digest()
}

/// Takes its input in pieces. Asking for the digest does not end it: more input may follow.
#[derive(Clone)]
pub struct Hasher(Blake3);

impl Hasher {
    /// A hasher for plain hashes.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(Blake3::new())
    }

    /// A hasher for keyed hashes.
    ///
    /// # Errors
    ///
    /// [`CoreError::Argument`] when `key` is not 32 bytes.
    pub fn keyed(key: &[u8]) -> Result<Self, CoreError> {
        let key = key
            .try_into()
            .map_err(|_| CoreError::size("key", key.len(), DIGEST_BYTES))?;
        Ok(Self(Blake3::new_keyed(key)))
    }

    /// A hasher for key derivation; the context should be a constant of the program.
    pub fn derive(context: &str) -> Self {
        Self(Blake3::new_derive_key(context))
    }

    /// Adds `data`; pieces of [`PARALLEL_FROM_BYTES`] and more are spread over threads.
    pub fn update(&mut self, data: &[u8]) {
        if data.len() < PARALLEL_FROM_BYTES {
            self.0.update(data);
        } else {
            self.0.update_rayon(data);
        }
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> Digest {
        *self.0.finalize().as_bytes()
    }

    /// Fills `output` with the digest of everything so far; its first 32 bytes are [`Self::digest`].
    ///
    /// # Errors
    ///
    /// [`CoreError::Argument`] when `output` is empty or longer than [`MAX_OUTPUT_BYTES`].
    pub fn digest_into(&self, output: &mut [u8]) -> Result<(), CoreError> {
        if output.is_empty() || output.len() > MAX_OUTPUT_BYTES {
            let allowed = format!("1 to {MAX_OUTPUT_BYTES}");
            return Err(CoreError::size("lengthBytes", output.len(), allowed));
        }
        self.0.finalize_xof().fill(output);
        Ok(())
    }
}

/// Hashes every item; `digests` receives them one after the other.
///
/// # Errors
///
/// [`CoreError::Argument`] when `digests` is not 32 bytes for each item.
pub fn hash_many<'a>(
    items: impl ExactSizeIterator<Item = &'a [u8]>,
    digests: &mut [u8],
) -> Result<(), CoreError> {
    let needed = items.len().saturating_mul(DIGEST_BYTES);
    if digests.len() != needed {
        return Err(CoreError::size("digests", digests.len(), needed));
    }
    for (item, digest) in items.zip(digests.chunks_exact_mut(DIGEST_BYTES)) {
        digest.copy_from_slice(&hash(item));
    }
    Ok(())
}
