//! Files of shards: each step that needs the disk is one job, so that a shard does not wait for the JavaScript
//! thread between a dozen system calls.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use espalier_core::erasure::MAX_SHARD_BYTES;
use espalier_core::hash::{self, DIGEST_BYTES};
use napi_derive::napi;

use crate::bytes::ByteArray;
use crate::failure::Failure;
use crate::text::Text;
use crate::{arguments, jobs};

/// Writes `bytes` to a new file and syncs it, if they have the promised hash. Nothing is left of a failure.
#[napi(catch_unwind)]
pub fn shard_file_write(job: f64, path: Text, bytes: ByteArray<'_>, hash: ByteArray<'_>) -> napi::Result<()> {
    let job = arguments::job(job)?;
    let expected = *arguments::exactly::<DIGEST_BYTES>("hash", &hash)?;
    let bytes = bytes.to_vec();
    jobs::spawn_disk(job, move || {
        if hash::hash(&bytes) != expected {
            return Err(Failure::argument("bytes", "they do not have the promised hash"));
        }
        write(Path::new(&*path), &bytes).map(|()| Vec::new())
    })?;
    Ok(())
}

/// Moves a file to its place and syncs the folder.
#[napi(catch_unwind)]
pub fn shard_file_place(job: f64, from: Text, to: Text) -> napi::Result<()> {
    let job = arguments::job(job)?;
    jobs::spawn_disk(job, move || {
        let placed = fs::rename(&*from, &*to).and_then(|()| sync_folder(Path::new(&*to)));
        placed.map(|()| Vec::new()).map_err(|error| failed(&to, &error))
    })?;
    Ok(())
}

/// The file's bytes, if they have the promised size and hash; else `NOT_FOUND`.
#[napi(catch_unwind)]
pub fn shard_file_read(job: f64, path: Text, size_bytes: f64, hash: ByteArray<'_>) -> napi::Result<()> {
    let job = arguments::job(job)?;
    let size = arguments::count("sizeBytes", size_bytes, MAX_SHARD_BYTES)?;
    let expected = *arguments::exactly::<DIGEST_BYTES>("hash", &hash)?;
    jobs::spawn_disk(job, move || read(Path::new(&*path), size, &expected))?;
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let name = path.to_string_lossy();
    let mut file = options.open(path).map_err(|error| failed(&name, &error))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // What cannot be removed is found at the next start.
        let _ = fs::remove_file(path);
        failed(&name, &error)
    })
}

fn read(path: &Path, size: usize, expected: &[u8; DIGEST_BYTES]) -> Result<Vec<u8>, Failure> {
    let other = || Failure::new("NOT_FOUND", "there is no file with these bytes");
    // EIO is how a disk reports a sector that it can't read any more.
    let unreadable = |error: io::Error| match (error.kind(), error.raw_os_error()) {
        (ErrorKind::NotFound | ErrorKind::IsADirectory, _) | (_, Some(EIO)) => other(),
        _ => failed(&path.to_string_lossy(), &error),
    };
    let mut file = File::open(path).map_err(unreadable)?;
    // The size first: a file that grew must not decide how much memory is taken.
    if file.metadata().map_err(unreadable)?.len() != size as u64 {
        return Err(other());
    }
    let mut bytes = vec![0; size];
    match file.read_exact(&mut bytes) {
        Ok(()) if hash::hash(&bytes) == *expected => Ok(bytes),
        Ok(()) => Err(other()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(other()),
        Err(error) => Err(unreadable(error)),
    }
}

/// Without this a power failure may forget the name of a file whose bytes are safe.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        // Windows can't open a folder; NTFS keeps names in its journal.
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn failed(path: &str, error: &io::Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => "STORAGE_FULL",
        _ if matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) => "LIMIT_EXCEEDED",
        _ => "STORAGE_CORRUPT",
    };
    Failure::new(code, format!("the shard file {path}: {error}"))
}

// The same numbers on every Unix that Node runs on.
const EIO: i32 = 5;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
