//! Numbers and sizes from JavaScript. TypeScript has checked them; napi would wrap a wrong one silently.

use crate::failure::Failure;

/// The largest integer that a JavaScript number counts exactly.
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// A whole number from 0 to `max`, which is at most [`MAX_SAFE_INTEGER`].
pub(crate) fn integer(name: &str, value: f64, max: u64) -> Result<u64, Failure> {
    let max = max.min(MAX_SAFE_INTEGER);
    #[allow(clippy::cast_precision_loss)]
    let fits = value >= 0.0 && value <= max as f64 && value.fract() == 0.0;
    if !fits {
        return Err(Failure::argument(
            name,
            format_args!("{value} was given, an integer from 0 to {max} is needed"),
        ));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(value as u64)
}

/// As [`integer`], for what counts things in memory.
pub(crate) fn count(name: &str, value: f64, max: usize) -> Result<usize, Failure> {
    let value = integer(name, value, max as u64)?;
    usize::try_from(value).map_err(|_| Failure::argument(name, "too large for this machine"))
}

/// A number of the completion queue's: 1 to 2³² − 1.
pub(crate) fn job(value: f64) -> Result<u32, Failure> {
    let job = integer("job", value, u64::from(u32::MAX))?;
    u32::try_from(job).map_err(|_| Failure::argument("job", "too large"))
}

/// `bytes` as an array of exactly `N`.
pub(crate) fn exactly<'a, const N: usize>(name: &str, bytes: &'a [u8]) -> Result<&'a [u8; N], Failure> {
    bytes.try_into().map_err(|_| {
        Failure::argument(
            name,
            format_args!("{} bytes were given, {N} are allowed", bytes.len()),
        )
    })
}
