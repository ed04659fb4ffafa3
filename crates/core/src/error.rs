//! What can go wrong in the core, with the code that a caller branches on.

use thiserror::Error;

/// Every failure of this crate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CoreError {
    /// An argument has the wrong size or value.
    #[error("{name}: {problem}")]
    Argument {
        /// The argument's name as the public interface calls it.
        name: &'static str,
        /// What was given and what is allowed.
        problem: String,
    },
    /// A key could not be read or does not fit.
    #[error("{0}")]
    Key(String),
    /// A sealed message was changed, or the key, nonce or associated data is another.
    #[error("the sealed bytes were changed, or the key, nonce or associated data is wrong")]
    Decrypt,
    /// A verified stream or proof does not fit its root.
    #[error("the proof does not fit the root: {0}")]
    Proof(&'static str),
    /// Fewer shards than the code needs.
    #[error("{found} of {needed} shards were given")]
    ShardsMissing {
        /// Shards that were given.
        found: usize,
        /// Shards that the layout needs.
        needed: usize,
    },
    /// This build lacks what was asked for.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A primitive failed although its inputs were checked.
    #[error("{0}")]
    Internal(&'static str),
}

impl CoreError {
    /// The stable code of the public interface.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Argument { .. } => "INVALID_ARGUMENT",
            Self::Key(_) => "KEY_INVALID",
            Self::Decrypt => "DECRYPT_FAILED",
            Self::Proof(_) => "SIGNATURE_INVALID",
            Self::ShardsMissing { .. } => "SHARDS_MISSING",
            Self::Unsupported(_) => "UNSUPPORTED",
            Self::Internal(_) => "INVALID_STATE",
        }
    }

    pub(crate) fn size(name: &'static str, given: usize, allowed: impl std::fmt::Display) -> Self {
        Self::Argument {
            name,
            problem: format!("{given} bytes were given, {allowed} are allowed"),
        }
    }
}
