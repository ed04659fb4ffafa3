//! Randomness of the operating system, through aws-lc.

use crate::CoreError;

/// Fills `target` with fresh random bytes.
///
/// # Errors
///
/// [`CoreError::Internal`] when the operating system gives no randomness.
pub fn fill(target: &mut [u8]) -> Result<(), CoreError> {
    aws_lc_rs::rand::fill(target).map_err(|_| CoreError::Internal("the system gave no randomness"))
}

/// `N` fresh random bytes.
///
/// # Errors
///
/// As [`fill`].
pub fn bytes<const N: usize>() -> Result<[u8; N], CoreError> {
    let mut target = [0; N];
    fill(&mut target)?;
    Ok(target)
}
