//! What can go wrong on the way to a peer, told apart by kind.

use thiserror::Error;

/// Every failure of this crate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransportError {
    /// An argument has the wrong size or value.
    #[error("{name}: {problem}")]
    Argument {
        /// The argument's name as the public interface calls it.
        name: &'static str,
        /// What was given and what is allowed.
        problem: String,
    },
    /// The socket could not be bound.
    #[error("could not bind {address}: {reason}")]
    Bind {
        /// The address that was asked for.
        address: String,
        /// The operating system's reason.
        reason: String,
    },
    /// No address of the peer answered.
    #[error("no address answered: {0}")]
    Unreachable(String),
    /// Another node than the expected one answered.
    #[error("another node answered")]
    Mismatch,
    /// The peer, or its limits, refused.
    #[error("the peer refused: {0}")]
    Refused(String),
    /// The connection ended underneath.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// This side closed the connection or the endpoint.
    #[error("closed by this side")]
    Closed,
    /// The time that the call allows has passed.
    #[error("no answer in time")]
    Timeout,
    /// The caller gave up.
    #[error("given up by the caller")]
    Aborted,
    /// A size is over its limit.
    #[error("{0}")]
    Limit(String),
    /// The peer gave up the stream.
    #[error("the peer reset the stream with code {0}")]
    Reset(u64),
    /// The peer sent what the protocol does not allow.
    #[error("{0}")]
    Protocol(&'static str),
    /// The handler's own error, as it travelled.
    #[error("{message}")]
    Remote {
        /// The code that the peer's handler answered.
        code: String,
        /// Its text, at most 256 bytes.
        message: String,
    },
    /// A task panicked, or a library failed although its inputs were checked.
    #[error("{0}")]
    Internal(String),
}

impl TransportError {
    /// The stable code of the public interface.
    pub fn code(&self) -> &str {
        match self {
            Self::Argument { .. } | Self::Bind { .. } => "INVALID_ARGUMENT",
            Self::Unreachable(_) => "PEER_UNREACHABLE",
            Self::Mismatch => "PEER_MISMATCH",
            Self::Refused(_) => "PEER_REFUSED",
            Self::Lost(_) => "CONNECTION_LOST",
            Self::Closed => "CLOSED",
            Self::Timeout => "TIMEOUT",
            Self::Aborted => "ABORTED",
            Self::Limit(_) => "LIMIT_EXCEEDED",
            Self::Reset(_) => "STREAM_RESET",
            Self::Protocol(_) => "PROTOCOL_VIOLATION",
            Self::Remote { code, .. } => code,
            Self::Internal(_) => "INVALID_STATE",
        }
    }
}

impl From<quinn::ConnectionError> for TransportError {
    fn from(error: quinn::ConnectionError) -> Self {
        match error {
            quinn::ConnectionError::LocallyClosed => Self::Closed,
            other => Self::Lost(other.to_string()),
        }
    }
}

impl From<quinn::WriteError> for TransportError {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::Stopped(code) => Self::Reset(code.into_inner()),
            quinn::WriteError::ConnectionLost(error) => error.into(),
            quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected => Self::Closed,
        }
    }
}

impl From<quinn::ReadError> for TransportError {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::Reset(code) => Self::Reset(code.into_inner()),
            quinn::ReadError::ConnectionLost(error) => error.into(),
            _ => Self::Closed,
        }
    }
}
