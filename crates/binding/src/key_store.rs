//! Key files on disk: written whole or not at all, and never over another identity by accident.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use espalier_core::key_file::KEY_FILE_BYTES;
use espalier_core::random;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The bytes of a key file. One that is too large is cut, and refused by its size.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: &io::Error| match error.kind() {
        ErrorKind::NotFound => Failure::new("NOT_FOUND", format!("there is no key file {}", path.display())),
        _ => Failure::new(
            "KEY_INVALID",
            format!("{} cannot be read: {error}", path.display()),
        ),
    };
    // Opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(|error| failed(&error))?.is_file() {
        return Err(Failure::new(
            "KEY_INVALID",
            format!("{} is not a file", path.display()),
        ));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES + 1));
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(KEY_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    Ok(bytes)
}

/// Writes a file that must not exist.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // Said before the work; the link below decides.
    if fs::symlink_metadata(path).is_ok() {
        return Err(exists(path));
    }
    let temporary = write_temporary(path, bytes)?;
    // A link, unlike a rename, never replaces what is there.
    let linked = fs::hard_link(&temporary, path);
    let result = match linked {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(exists(path)),
        // A file system without links.
        Err(_) => fs::rename(&temporary, path).map_err(|error| unwritable(path, &error)),
    };
    // After a rename it is gone already.
    let _ = fs::remove_file(&temporary);
    result?;
    sync_folder(path)
}

/// Writes a file in place of the one that is there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let temporary = write_temporary(path, bytes)?;
    if let Err(error) = fs::rename(&temporary, path) {
        let _ = fs::remove_file(&temporary);
        return Err(unwritable(path, &error));
    }
    sync_folder(path)
}

fn write_temporary(path: &Path, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let name = path
        .file_name()
        .ok_or_else(|| Failure::argument("path", "it names no file"))?;
    let suffix = u64::from_le_bytes(random::bytes::<8>()?);
    let temporary = path.with_file_name(format!(".{}.{suffix:016x}.tmp", name.to_string_lossy()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(unwritable(path, &error));
    }
    Ok(temporary)
}

/// The name is durable only when its folder is.
fn sync_folder(path: &Path) -> Result<(), Failure> {
    if cfg!(unix) {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| unwritable(path, &error))?;
    }
    Ok(())
}

fn exists(path: &Path) -> Failure {
    Failure::new(
        "INVALID_STATE",
        format!("{} exists already and is not overwritten", path.display()),
    )
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failure::new(
            "STORAGE_FULL",
            format!("{} cannot be written: {error}", path.display()),
        ),
        _ => Failure::argument(
            "path",
            format_args!("{} cannot be written: {error}", path.display()),
        ),
    }
}
