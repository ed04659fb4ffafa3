//! One segment of an object: sealed, cut into shards, protected by parity, each shard named by its hash.

use rayon::prelude::*;

use crate::CoreError;
use crate::erasure::{ErasureCoder, MAX_SHARD_BYTES, ShardLayout};
use crate::hash::{self, Digest};
use crate::seal::{Algorithm, EXTENDED_NONCE_BYTES, KEY_BYTES, Sealer, TAG_BYTES};

/// The largest plaintext of a segment: sealed it has exactly 4 MiB, so that it fits one shard even with a
/// single data shard, and divides evenly by 8 and by 16.
pub const MAX_SEGMENT_BYTES: usize = MAX_SHARD_BYTES - TAG_BYTES;
/// The most that all shards of one segment may take: bounds what a layout with little data and much parity asks.
pub const MAX_ENCODED_BYTES: usize = 64 << 20;
/// The last index that a JavaScript number counts exactly.
pub const MAX_SEGMENT_INDEX: u64 = (1 << 53) - 1;

/// Separates these seals from any other use of the same key.
const LABEL: &[u8; 20] = b"espalier segment v1\0";

/// What [`encode_segment`] makes.
#[derive(Debug)]
pub struct EncodedSegment {
    /// All shards one after the other, data before parity, each [`Self::shard_bytes`] long.
    pub shards: Vec<u8>,
    /// The size of every shard.
    pub shard_bytes: usize,
    /// The BLAKE3 hash of each shard.
    pub ids: Vec<Digest>,
}

/// The size of every shard of a segment with `plaintext_bytes`.
///
/// # Errors
///
/// [`CoreError::Argument`] when the plaintext or all shards together are too large.
pub fn shard_bytes(layout: ShardLayout, plaintext_bytes: usize) -> Result<usize, CoreError> {
    if plaintext_bytes > MAX_SEGMENT_BYTES {
        return Err(CoreError::size(
            "plaintext",
            plaintext_bytes,
            format!("0 to {MAX_SEGMENT_BYTES}"),
        ));
    }
    let size = (plaintext_bytes + TAG_BYTES).div_ceil(layout.data_shards());
    let encoded = size * layout.total_shards();
    if encoded > MAX_ENCODED_BYTES {
        let problem =
            format!("all shards would take {encoded} bytes, at most {MAX_ENCODED_BYTES} are allowed");
        return Err(CoreError::Argument {
            name: "layout",
            problem,
        });
    }
    Ok(size)
}

/// Seals `plaintext` under `key` and `index`, cuts it into data shards (zero-padded), adds parity, hashes.
///
/// The same key must never seal two different plaintexts under one index: the nonce is the index.
///
/// # Errors
///
/// [`CoreError::Argument`] for sizes out of range.
pub fn encode_segment(
    key: &[u8; KEY_BYTES],
    index: u64,
    plaintext: &[u8],
    coder: &ErasureCoder,
) -> Result<EncodedSegment, CoreError> {
    let layout = coder.layout();
    let size = shard_bytes(layout, plaintext.len())?;
    let sealer = sealer(key, index)?;
    let mut shards = vec![0; size * layout.total_shards()];
    let (data, parity) = shards.split_at_mut(size * layout.data_shards());
    let (message, rest) = data.split_at_mut(plaintext.len());
    message.copy_from_slice(plaintext);
    let tag = sealer.seal_in_place(&associated_data(index), message)?;
    rest[..TAG_BYTES].copy_from_slice(&tag);
    let data: Vec<&[u8]> = data.chunks_exact(size).collect();
    let mut parity: Vec<&mut [u8]> = parity.chunks_exact_mut(size).collect();
    coder.encode(&data, &mut parity)?;
    let ids = shards.par_chunks_exact(size).map(hash::hash).collect();
    Ok(EncodedSegment {
        shards,
        shard_bytes: size,
        ids,
    })
}

/// Gives back the plaintext from any [`ShardLayout::data_shards`] shards. Compare each shard with its id
/// before: a wrong one is found here too, but then nobody knows which it was.
///
/// # Errors
///
/// [`CoreError::ShardsMissing`] with too few shards, [`CoreError::Decrypt`] when the key, the index or a shard
/// is wrong, [`CoreError::Argument`] for sizes that do not fit each other.
pub fn decode_segment(
    key: &[u8; KEY_BYTES],
    index: u64,
    coder: &ErasureCoder,
    plaintext_bytes: usize,
    shards: &[Option<&[u8]>],
) -> Result<Vec<u8>, CoreError> {
    let layout = coder.layout();
    let size = shard_bytes(layout, plaintext_bytes)?;
    let (missing, given) = coder.missing(shards)?;
    if given != size {
        return Err(CoreError::size("shards", given, format!("{size} in each shard")));
    }
    let sealer = sealer(key, index)?;
    let mut data = vec![0; size * layout.data_shards()];
    let wanted: Vec<usize> = missing
        .into_iter()
        .take_while(|&shard| shard < layout.data_shards())
        .collect();
    let mut rebuilt = Vec::with_capacity(wanted.len());
    for (target, shard) in data.chunks_exact_mut(size).zip(shards) {
        match shard {
            Some(shard) => target.copy_from_slice(shard),
            None => rebuilt.push(target),
        }
    }
    if !wanted.is_empty() {
        coder.reconstruct(shards, &wanted, &mut rebuilt)?;
    }
    let sealed = plaintext_bytes + TAG_BYTES;
    // The padding is outside the seal: a shard with other padding is not the shard that was stored.
    if data[sealed..].iter().any(|&byte| byte != 0) {
        return Err(CoreError::Decrypt);
    }
    data.truncate(sealed);
    let opened = sealer.open_in_place(&associated_data(index), &mut data)?;
    data.truncate(opened);
    Ok(data)
}

/// XChaCha20-Poly1305 with sixteen zero bytes ‖ the index (u64, little-endian) as nonce: the key belongs to
/// one object alone, so that the index never repeats under it.
fn sealer(key: &[u8; KEY_BYTES], index: u64) -> Result<Sealer, CoreError> {
    let mut nonce = [0; EXTENDED_NONCE_BYTES];
    nonce[16..].copy_from_slice(&index.to_le_bytes());
    Sealer::new(Algorithm::XChaCha20Poly1305, key, &nonce)
}

fn associated_data(index: u64) -> [u8; LABEL.len() + 8] {
    let mut aad = [0; LABEL.len() + 8];
    aad[..LABEL.len()].copy_from_slice(LABEL);
    aad[LABEL.len()..].copy_from_slice(&index.to_le_bytes());
    aad
}
