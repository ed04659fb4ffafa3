//! BLAKE3.

use espalier_core::hash::{self, DIGEST_BYTES, Hasher};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::bytes::{self, ByteArray};
use crate::failure::Failure;
use crate::list::ByteList;
use crate::text::Text;
use crate::{arguments, environment};

/// The hash of `data` into 32 bytes of `out`, which may share memory with it.
#[napi(catch_unwind)]
pub fn hash_into(data: ByteArray<'_>, mut out: ByteArray<'_>, offset: f64) -> napi::Result<()> {
    let offset = arguments::count("offset", offset, out.len())?;
    let digest = hash::hash(&data);
    bytes::put(&mut out, offset, &digest)?;
    Ok(())
}

/// The hash of every item, one after the other.
#[napi(catch_unwind)]
pub fn hash_many(items: ByteList<'_>, mut digests_out: ByteArray<'_>) -> napi::Result<()> {
    let items = items.slices()?;
    let items: Vec<&[u8]> = items.iter().map(|item| &**item).collect();
    bytes::fill(&mut digests_out, &items, |out| {
        Ok(hash::hash_many(items.iter().copied(), out)?)
    })?;
    Ok(())
}

/// One hash of any kind and length.
#[napi(catch_unwind)]
pub fn hash_with(
    key: Option<ByteArray<'_>>,
    context: Option<Text>,
    data: ByteArray<'_>,
    mut out: ByteArray<'_>,
) -> napi::Result<()> {
    let mut hasher = hasher(key.as_deref(), context.as_deref())?;
    hasher.update(&data);
    digest(&hasher, &mut out)
}

/// A hasher that takes its input in pieces.
#[napi(catch_unwind)]
pub fn hasher_open(key: Option<ByteArray<'_>>, context: Option<Text>) -> napi::Result<u32> {
    let hasher = hasher(key.as_deref(), context.as_deref())?;
    Ok(environment::current()?.hashers.insert(Mutex::new(hasher))?)
}

/// Adds `data`.
#[napi(catch_unwind)]
pub fn hasher_update(handle: f64, data: ByteArray<'_>) -> napi::Result<()> {
    environment::current()?.hashers.get(handle)?.lock().update(&data);
    Ok(())
}

/// The digest of everything so far, as long as `out`.
#[napi(catch_unwind)]
pub fn hasher_digest(handle: f64, mut out: ByteArray<'_>) -> napi::Result<()> {
    digest(&environment::current()?.hashers.get(handle)?.lock(), &mut out)
}

/// Frees a hasher.
#[napi(catch_unwind)]
pub fn hasher_close(handle: f64) -> napi::Result<()> {
    Ok(environment::current()?.hashers.remove(handle)?)
}

fn hasher(key: Option<&[u8]>, context: Option<&str>) -> Result<Hasher, Failure> {
    match (key, context) {
        (None, None) => Ok(Hasher::new()),
        (Some(key), None) => Ok(Hasher::keyed(key)?),
        (None, Some(context)) => Ok(Hasher::derive(context)),
        (Some(_), Some(_)) => Err(Failure::argument(
            "context",
            "a key was given too, one of them is allowed",
        )),
    }
}

fn digest(hasher: &Hasher, out: &mut ByteArray<'_>) -> napi::Result<()> {
    if out.len() == DIGEST_BYTES {
        bytes::put(out, 0, &hasher.digest())?;
        return Ok(());
    }
    bytes::fill(out, &[], |out| Ok(hasher.digest_into(out)?))?;
    Ok(())
}
