//! The one place that writes into memory of JavaScript.

#![allow(unsafe_code)]

use napi::bindgen_prelude::Uint8ArraySlice;

use crate::failure::Failure;

/// Lets `write` fill `out` and answers what it answers.
///
/// # Errors
///
/// `INVALID_ARGUMENT` when `out` shares memory with an input: two references to it must not exist.
pub(crate) fn fill<T>(
    out: &mut Uint8ArraySlice<'_>,
    inputs: &[&[u8]],
    write: impl FnOnce(&mut [u8]) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if inputs.iter().any(|input| overlap(out, input)) {
        return Err(shared());
    }
    // SAFETY: JavaScript does not run during a synchronous call, TypeScript refuses memory that another thread
    // could reach, and no input shares it.
    write(unsafe { out.as_mut() })
}

/// As [`fill`] for several outputs, which must not share memory with each other either.
pub(crate) fn fill_all<T>(
    outs: &mut [Uint8ArraySlice<'_>],
    inputs: &[&[u8]],
    write: impl FnOnce(&mut [&mut [u8]]) -> Result<T, Failure>,
) -> Result<T, Failure> {
    for (index, out) in outs.iter().enumerate() {
        let others = outs[..index].iter().map(|other| &**other);
        if inputs
            .iter()
            .copied()
            .chain(others)
            .any(|other| overlap(out, other))
        {
            return Err(shared());
        }
    }
    // SAFETY: as in `fill`, and the outputs are pairwise disjoint.
    let mut slices: Vec<&mut [u8]> = outs.iter_mut().map(|out| unsafe { out.as_mut() }).collect();
    write(&mut slices)
}

/// Copies `bytes` to `out[offset..]`; `bytes` must not come from JavaScript.
pub(crate) fn put(out: &mut Uint8ArraySlice<'_>, offset: usize, bytes: &[u8]) -> Result<(), Failure> {
    fill(out, &[bytes], |out| {
        let room = out.len();
        let target = out
            .get_mut(offset..)
            .and_then(|rest| rest.get_mut(..bytes.len()))
            .ok_or_else(|| {
                let needed = offset.saturating_add(bytes.len());
                Failure::argument(
                    "out",
                    format_args!("{room} bytes were given, at least {needed} are needed"),
                )
            })?;
        target.copy_from_slice(bytes);
        Ok(())
    })
}

fn overlap(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (a.as_ptr_range(), b.as_ptr_range());
    a.start < b.end && b.start < a.end
}

fn shared() -> Failure {
    Failure::argument("out", "it shares memory with another argument")
}
