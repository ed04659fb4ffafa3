//! ML-DSA-65 (FIPS 204) behind one trait with compiled-in providers.

mod aws_lc;
#[cfg(feature = "pqclean")]
mod pqclean;
mod rust_crypto;

use zeroize::Zeroizing;

use crate::{CoreError, random};

/// Bytes in the seed ξ that a key pair is derived from (FIPS 204 §5.1).
pub const SEED_BYTES: usize = 32;
/// Bytes in a public key (FIPS 204 table 2).
pub const PUBLIC_KEY_BYTES: usize = 1952;
/// Bytes in a signature (FIPS 204 table 2).
pub const SIGNATURE_BYTES: usize = 3309;
/// Bytes in an expanded secret key (FIPS 204 table 2).
pub const EXPANDED_KEY_BYTES: usize = 4032;
/// Most bytes in a context string (FIPS 204 §5.2).
pub const MAX_CONTEXT_BYTES: usize = 255;

/// An implementation of hedged signing and of verification under the empty context.
pub trait SignatureProvider: Send + Sync {
    /// Signs `message`, hedged, under the empty context.
    ///
    /// # Errors
    ///
    /// [`CoreError::Internal`] when the implementation fails.
    fn sign(&self, key: &SigningKey, message: &[u8]) -> Result<[u8; SIGNATURE_BYTES], CoreError>;
    /// Whether `signature` is valid for `message` under the empty context.
    fn verify(
        &self,
        public_key: &[u8; PUBLIC_KEY_BYTES],
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> bool;
}

/// Which implementation serves plain signatures.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Provider {
    /// aws-lc-rs: maintained, and already linked for TLS.
    #[default]
    AwsLc,
    /// `PQClean`'s AVX2 code through pqcrypto-mldsa: the independent second implementation.
    PqClean,
}

impl Provider {
    /// The provider of a name: `aws-lc` or `pqclean`.
    ///
    /// # Errors
    ///
    /// [`CoreError::Argument`] for another name.
    pub fn from_name(name: &str) -> Result<Self, CoreError> {
        match name {
            "aws-lc" => Ok(Self::AwsLc),
            "pqclean" => Ok(Self::PqClean),
            _ => Err(CoreError::Argument {
                name: "signatureProvider",
                problem: "aws-lc and pqclean are allowed".to_owned(),
            }),
        }
    }

    #[cfg_attr(feature = "pqclean", allow(clippy::unnecessary_wraps))]
    fn implementation(self) -> Result<&'static dyn SignatureProvider, CoreError> {
        match self {
            Self::AwsLc => Ok(&aws_lc::AwsLc),
            #[cfg(feature = "pqclean")]
            Self::PqClean => Ok(&pqclean::PqClean),
            #[cfg(not(feature = "pqclean"))]
            Self::PqClean => Err(CoreError::Unsupported("this build has no pqclean provider")),
        }
    }
}

/// How to sign.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignOptions<'a> {
    /// Context string, at most 255 bytes; empty by default.
    pub context: &'a [u8],
    /// Without fresh randomness, so that equal inputs give equal signatures.
    pub deterministic: bool,
    /// Serves plain signatures. Contexts and determinism are served by `RustCrypto`, the one
    /// implementation that offers them from a seed.
    pub provider: Provider,
}

/// A secret ML-DSA-65 key, wiped when dropped.
pub struct SigningKey {
    seed: Zeroizing<[u8; SEED_BYTES]>,
    public_key: Box<[u8; PUBLIC_KEY_BYTES]>,
    pair: aws_lc_rs::signature::PqdsaKeyPair,
}

impl SigningKey {
    /// A key from fresh randomness.
    ///
    /// # Errors
    ///
    /// [`CoreError::Internal`] when the system gives no randomness.
    pub fn generate() -> Result<Self, CoreError> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        random::fill(seed.as_mut())?;
        Self::from_seed(&seed)
    }

    /// The key of a seed ξ (FIPS 204 algorithm 6).
    ///
    /// # Errors
    ///
    /// [`CoreError::Internal`] when the implementation fails.
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Self, CoreError> {
        let (pair, public_key) = aws_lc::key_pair(seed)?;
        Ok(Self {
            seed: Zeroizing::new(*seed),
            public_key: Box::new(public_key),
            pair,
        })
    }

    /// The public key, 1,952 bytes.
    pub fn public_key(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.public_key
    }

    /// The seed, for the key file and for export as words.
    pub fn seed(&self) -> &[u8; SEED_BYTES] {
        &self.seed
    }

    /// Signs hedged, under the empty context, with the default provider.
    ///
    /// # Errors
    ///
    /// [`CoreError::Internal`] when the implementation fails.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_BYTES], CoreError> {
        self.sign_with(message, SignOptions::default())
    }

    /// Signs as `options` say.
    ///
    /// # Errors
    ///
    /// [`CoreError::Argument`] for a context over 255 bytes, [`CoreError::Unsupported`] for a provider
    /// that this build lacks.
    pub fn sign_with(
        &self,
        message: &[u8],
        options: SignOptions<'_>,
    ) -> Result<[u8; SIGNATURE_BYTES], CoreError> {
        check_context(options.context)?;
        let provider = options.provider.implementation()?;
        if options.deterministic || !options.context.is_empty() {
            return rust_crypto::sign(&self.seed, message, options.context, options.deterministic);
        }
        provider.sign(self, message)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningKey(secret)")
    }
}

/// Whether `signature` is `public_key`'s signature of `message` under `context`.
///
/// # Errors
///
/// [`CoreError::Argument`] for a key or context of the wrong size. A signature of the wrong size is
/// simply not valid.
pub fn verify(
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
    context: &[u8],
) -> Result<bool, CoreError> {
    verify_with(Provider::AwsLc, public_key, message, signature, context)
}

/// [`verify`] by a provider of choice.
///
/// # Errors
///
/// As [`verify`], and [`CoreError::Unsupported`] for a provider that this build lacks.
pub fn verify_with(
    provider: Provider,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
    context: &[u8],
) -> Result<bool, CoreError> {
    check_context(context)?;
    let public_key: &[u8; PUBLIC_KEY_BYTES] = public_key
        .try_into()
        .map_err(|_| CoreError::size("publicKey", public_key.len(), PUBLIC_KEY_BYTES))?;
    let provider = provider.implementation()?;
    let Ok(signature) = <&[u8; SIGNATURE_BYTES]>::try_from(signature) else {
        return Ok(false);
    };
    if context.is_empty() {
        return Ok(provider.verify(public_key, message, signature));
    }
    Ok(rust_crypto::verify(public_key, message, signature, context))
}

fn check_context(context: &[u8]) -> Result<(), CoreError> {
    if context.len() > MAX_CONTEXT_BYTES {
        return Err(CoreError::size(
            "context",
            context.len(),
            format_args!("0 to {MAX_CONTEXT_BYTES}"),
        ));
    }
    Ok(())
}
