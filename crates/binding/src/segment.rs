//! Segments of objects, on the pool.

use espalier_core::hash::DIGEST_BYTES;
use espalier_core::segment::{self, MAX_SEGMENT_BYTES, MAX_SEGMENT_INDEX};
use napi_derive::napi;

use crate::bytes::ByteArray;
use crate::failure::Failure;
use crate::list::{ByteList, Copied};
use crate::{arguments, erasure, jobs};

/// Seals, cuts, protects and hashes `plaintext`; the result is all shards, then their ids.
#[napi(catch_unwind)]
pub fn encode_segment(
    job: f64,
    key: ByteArray<'_>,
    index: f64,
    plaintext: ByteArray<'_>,
    data_shards: f64,
    parity_shards: f64,
) -> napi::Result<()> {
    let job = arguments::job(job)?;
    let key = *arguments::exactly("key", &key)?;
    let index = arguments::integer("index", index, MAX_SEGMENT_INDEX)?;
    let coder = erasure::coder(data_shards, parity_shards)?;
    segment::shard_bytes(coder.layout(), plaintext.len()).map_err(Failure::from)?;
    let plaintext = plaintext.to_vec();
    jobs::spawn(job, move || {
        let mut encoded = segment::encode_segment(&key, index, &plaintext, &coder)?;
        encoded.shards.reserve_exact(encoded.ids.len() * DIGEST_BYTES);
        encoded.shards.extend(encoded.ids.iter().flatten());
        Ok(encoded.shards)
    })?;
    Ok(())
}

/// The plaintext from any sufficient `shards`.
#[napi(catch_unwind)]
pub fn decode_segment(
    job: f64,
    key: Copied,
    index: f64,
    plaintext_bytes: f64,
    data_shards: f64,
    parity_shards: f64,
    shards: ByteList<'_>,
) -> napi::Result<()> {
    let job = arguments::job(job)?;
    let shards = shards.optional_slices()?;
    let key = *arguments::exactly("key", &key.0)?;
    let index = arguments::integer("index", index, MAX_SEGMENT_INDEX)?;
    let plaintext_bytes = arguments::count("plaintextBytes", plaintext_bytes, MAX_SEGMENT_BYTES)?;
    let coder = erasure::coder(data_shards, parity_shards)?;
    // Shards beyond those that suffice would only cost a copy.
    let needed = coder.layout().data_shards();
    let mut kept = 0;
    let copied: Vec<Option<Vec<u8>>> = shards
        .iter()
        .map(|shard| {
            let shard = shard.as_deref().filter(|_| kept < needed)?;
            kept += 1;
            Some(shard.to_vec())
        })
        .collect();
    jobs::spawn(job, move || {
        let shards: Vec<Option<&[u8]>> = copied.iter().map(Option::as_deref).collect();
        Ok(segment::decode_segment(
            &key,
            index,
            &coder,
            plaintext_bytes,
            &shards,
        )?)
    })?;
    Ok(())
}
