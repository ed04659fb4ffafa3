//! Byte arrays of JavaScript: the one place that reads and writes their memory.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::slice;

use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{Error, Status, ValueType, sys};

use crate::failure::Failure;

/// A `Uint8Array` of a call, whose memory only this JavaScript thread can reach. It is good for that call alone, and
/// only while no JavaScript runs, which could move, shrink or free the memory.
pub(crate) struct ByteArray<'call> {
    /// Of `length` bytes; dangling when there are none.
    start: NonNull<u8>,
    length: usize,
    call: PhantomData<&'call [u8]>,
}

impl ByteArray<'_> {
    /// # Safety
    ///
    /// No other reference to this memory may be in use.
    unsafe fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: see the type for the memory, the caller for the reference.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Deref for ByteArray<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: see the type.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl FromNapiValue for ByteArray<'_> {
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for memory that threads share, which another one could change or shrink while it is in
    /// use, and for memory that was transferred away.
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        let (mut kind, mut length, mut start) = (0, 0, ptr::null_mut());
        let (mut buffer, mut offset) = (ptr::null_mut(), 0);
        // SAFETY: the caller gives a value of this call; the variables outlive it.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                env,
                value,
                &raw mut kind,
                &raw mut length,
                &raw mut start,
                &raw mut buffer,
                &raw mut offset,
            )
        };
        if status != sys::Status::napi_ok || kind != sys::TypedarrayType::uint8_array {
            return Err(Error::new(Status::InvalidArg, "a Uint8Array is needed"));
        }
        // SAFETY: as above.
        if !unsafe { asks(sys::napi_is_arraybuffer, env, buffer) } {
            let problem = "memory that threads share was given, of one thread is needed";
            return Err(Failure::argument("bytes", problem).into());
        }
        let Some(start) = NonNull::new(start.cast()).filter(|_| length > 0) else {
            // SAFETY: as above.
            if unsafe { asks(sys::napi_is_detached_arraybuffer, env, buffer) } {
                return Err(Failure::argument("bytes", "the memory was transferred away").into());
            }
            return Ok(Self {
                start: NonNull::dangling(),
                length: 0,
                call: PhantomData,
            });
        };
        Ok(Self {
            start,
            length,
            call: PhantomData,
        })
    }
}

/// What `question` answers about a value; false when it fails.
///
/// # Safety
///
/// `value` is one of this call.
unsafe fn asks(
    question: unsafe extern "C" fn(sys::napi_env, sys::napi_value, *mut bool) -> sys::napi_status,
    env: sys::napi_env,
    value: sys::napi_value,
) -> bool {
    let mut answer = false;
    // SAFETY: see above; `answer` outlives the call.
    let status = unsafe { question(env, value, &raw mut answer) };
    status == sys::Status::napi_ok && answer
}

impl TypeName for ByteArray<'_> {
    fn type_name() -> &'static str {
        "Uint8Array"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ValidateNapiValue for ByteArray<'_> {}

/// Lets `write` fill `out` and answers what it answers.
///
/// # Errors
///
/// `INVALID_ARGUMENT` when `out` shares memory with an input: two references to it must not exist.
pub(crate) fn fill<T>(
    out: &mut ByteArray<'_>,
    inputs: &[&[u8]],
    write: impl FnOnce(&mut [u8]) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if inputs.iter().any(|input| overlap(out, input)) {
        return Err(shared());
    }
    // SAFETY: JavaScript does not run while this does, and no input shares the memory.
    write(unsafe { out.as_mut() })
}

/// As [`fill`] for several outputs, which must not share memory with each other either.
pub(crate) fn fill_all<T>(
    outs: &mut [ByteArray<'_>],
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
pub(crate) fn put(out: &mut ByteArray<'_>, offset: usize, bytes: &[u8]) -> Result<(), Failure> {
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
