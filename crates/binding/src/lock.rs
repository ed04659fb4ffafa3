//! Exclusive locks on files.

use std::fs::{File, OpenOptions, TryLockError};

use napi_derive::napi;

use crate::environment;
use crate::failure::Failure;
use crate::text::Text;

/// Takes the lock of a file, which is made when missing.
#[napi(catch_unwind)]
pub fn lock_file(path: Text) -> napi::Result<u32> {
    Ok(environment::current()?.locks.insert(lock(&path)?)?)
}

/// Gives a lock back.
#[napi(catch_unwind)]
pub fn unlock_file(handle: f64) -> napi::Result<()> {
    // Closing the file is what unlocks it.
    Ok(environment::current()?.locks.remove(handle)?)
}

fn lock(path: &str) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    // Never truncated: the process that has the lock may have written something.
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options
        .open(path)
        .map_err(|error| Failure::argument("path", format_args!("{path} cannot be opened: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::new(
            "STORAGE_BUSY",
            format!("{path} is locked by another user of it"),
        )),
        Err(TryLockError::Error(error)) => Err(Failure::new(
            "UNSUPPORTED",
            format!("{path} cannot be locked: {error}"),
        )),
    }
}
