//! Errors on their way to JavaScript.

use std::any::Any;

use espalier_core::CoreError;

/// A failure with its stable code. It crosses as the text `CODE: message`, because napi cannot put a code of
/// ours on an error; ts/native/error.ts is the only reader of that form.
#[derive(Debug)]
pub(crate) struct Failure {
    code: &'static str,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// `INVALID_ARGUMENT` in the form that all checks use.
    pub(crate) fn argument(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::new("INVALID_ARGUMENT", format!("{name}: {problem}"))
    }

    /// A panic that was caught. Its text may hold anything, so only texts of ours get out.
    pub(crate) fn panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::new(
            "INVALID_STATE",
            format!("native code panicked: {}", text.unwrap_or("without a text")),
        )
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl From<CoreError> for Failure {
    fn from(error: CoreError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<Failure> for napi::Error {
    fn from(failure: Failure) -> Self {
        Self::from_reason(failure.to_string())
    }
}
