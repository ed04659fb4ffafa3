//! Verified streaming: any slice of some bytes can be checked against nothing but their BLAKE3 hash.
//!
//! The *outboard* holds the inner nodes of the hash tree down to groups of 16 KiB (64 bytes each, pre-order,
//! no size prefix). A *slice* interleaves the nodes on the way with the bytes: pre-order, a parent as left ‖
//! right chaining value, then whatever of its children overlaps the range. A group that lies inside the range
//! as a whole travels as its bytes; a group at the range's edge is opened down to chunks of 1 KiB, so that a
//! proof for one chunk of a 4 MiB shard stays below 2 KB.

use bao_tree::io::outboard::PreOrderMemOutboard;
use bao_tree::io::sync::{DecodeResponseIter, encode_ranges_validated};
use bao_tree::io::{BaoContentItem, EncodeError};
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};
use blake3::hazmat::{Mode, merge_subtrees_root};

use crate::CoreError;
use crate::hash::{DIGEST_BYTES, Digest, hash};

/// The smallest unit of a proof, in bytes.
pub const CHUNK_BYTES: u64 = 1024;
/// The unit in which the outboard keeps hashes, in bytes.
pub const GROUP_BYTES: u64 = 16 * CHUNK_BYTES;
/// The largest total size that is accepted: what a JavaScript number counts exactly.
pub const MAX_TOTAL_BYTES: u64 = (1 << 53) - 1;

/// 2⁴ chunks of 1 KiB.
const GROUP: BlockSize = BlockSize::from_chunk_log(4);

/// The inner nodes of a hash tree, and its root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outboard {
    /// The BLAKE3 hash of the bytes.
    pub root: Digest,
    /// [`outboard_bytes`] of their size; empty up to one group.
    pub nodes: Vec<u8>,
}

/// How long the outboard of `total_bytes` is.
pub fn outboard_bytes(total_bytes: u64) -> u64 {
    64 * (total_bytes.div_ceil(GROUP_BYTES).max(1) - 1)
}

/// Hashes `data` and keeps the inner nodes.
pub fn outboard(data: &[u8]) -> Outboard {
    let made = PreOrderMemOutboard::create(data, GROUP);
    Outboard { root: *made.root.as_bytes(), nodes: made.data }
}

/// The bytes `start..start + length` of `data` with the proof that [`verify_slice`] needs.
/// Chunks travel whole, so the slice covers a little more than the range.
///
/// # Errors
///
/// [`CoreError::Argument`] for a range outside `data`, an empty range of bytes that are not empty, or an
/// outboard of the wrong size; [`CoreError::Proof`] when `data` and `nodes` do not belong together where the
/// slice touches them.
pub fn extract_slice(data: &[u8], nodes: &[u8], start: u64, length: u64) -> Result<Vec<u8>, CoreError> {
    let total = data.len() as u64;
    check_range(total, start, length)?;
    if nodes.len() as u64 != outboard_bytes(total) {
        return Err(CoreError::size("outboard", nodes.len(), outboard_bytes(total)));
    }
    let tree = BaoTree::new(total, GROUP);
    let outboard = PreOrderMemOutboard { root: root_of(data, nodes), tree, data: nodes };
    let mut slice = Vec::new();
    encode_ranges_validated(data, &outboard, &chunks(start, length), &mut slice).map_err(|error| match error {
        EncodeError::ParentHashMismatch(_) | EncodeError::LeafHashMismatch(_) => {
            CoreError::Proof("data and outboard do not belong together")
        }
        _ => CoreError::Internal("a slice could not be cut"),
    })?;
    Ok(slice)
}

/// Checks `slice` against `root` and answers the bytes `start..start + length`.
///
/// Nothing in `slice` is believed: it is read from left to right, every part is hashed before the next is
/// looked at, and memory grows with what was given and never with what it claims.
///
/// # Errors
///
/// [`CoreError::Argument`] for a range outside `total_bytes`; [`CoreError::Proof`] for every slice that
/// [`extract_slice`] would not have made, also a truncated one or one with bytes left over.
pub fn verify_slice(
    root: &Digest,
    total_bytes: u64,
    start: u64,
    length: u64,
    slice: &[u8],
) -> Result<Vec<u8>, CoreError> {
    check_range(total_bytes, start, length)?;
    // The slice carries every byte of the range, so that a shorter one is refused before anything is reserved.
    let wanted = usize::try_from(length).ok().filter(|&wanted| wanted <= slice.len());
    let wanted = wanted.ok_or(CoreError::Proof("the slice is too short"))?;
    let ranges = chunks(start, length);
    let mut rest = slice;
    let mut bytes = Vec::with_capacity(wanted);
    for item in DecodeResponseIter::new((*root).into(), BaoTree::new(total_bytes, GROUP), &mut rest, &ranges) {
        match item.map_err(|_| CoreError::Proof("a part of the slice has another hash"))? {
            BaoContentItem::Parent(_) => {}
            BaoContentItem::Leaf(leaf) => {
                let from = overlap(start, leaf.offset, leaf.data.len());
                let to = overlap(start + length, leaf.offset, leaf.data.len());
                bytes.extend_from_slice(&leaf.data[from..to]);
            }
        }
    }
    if !rest.is_empty() {
        return Err(CoreError::Proof("bytes are left over"));
    }
    if bytes.len() != wanted {
        return Err(CoreError::Proof("the slice is too short"));
    }
    Ok(bytes)
}

/// The root that the first pair of `nodes` stands for.
fn root_of(data: &[u8], nodes: &[u8]) -> blake3::Hash {
    match nodes.first_chunk::<64>() {
        Some(pair) => {
            let (left, right) = pair.split_at(DIGEST_BYTES);
            let value = |half: &[u8]| half.try_into().expect("half of 64 bytes are 32");
            merge_subtrees_root(&value(left), &value(right), Mode::Hash)
        }
        None => hash(data).into(),
    }
}

/// How far into a leaf at `leaf_start` the position `at` lies.
fn overlap(at: u64, leaf_start: u64, leaf_bytes: usize) -> usize {
    usize::try_from(at.saturating_sub(leaf_start)).map_or(leaf_bytes, |into| into.min(leaf_bytes))
}

/// The chunks that hold `start..start + length`; an empty range stands for the first chunk of nothing.
fn chunks(start: u64, length: u64) -> ChunkRanges {
    let first = start / CHUNK_BYTES;
    let end = (start + length.max(1)).div_ceil(CHUNK_BYTES);
    ChunkRanges::from(ChunkNum(first)..ChunkNum(end))
}

fn check_range(total: u64, start: u64, length: u64) -> Result<(), CoreError> {
    let refuse = |name, problem| Err(CoreError::Argument { name, problem });
    if total > MAX_TOTAL_BYTES {
        return refuse("totalBytes", format!("{total} was given, at most {MAX_TOTAL_BYTES} is allowed"));
    }
    if start > total {
        return refuse("start", format!("{start} lies behind the {total} bytes"));
    }
    if length > total - start {
        return refuse("length", format!("{length} from {start} reaches behind the {total} bytes"));
    }
    // A proof of nothing would prove nothing; only empty bytes have no other.
    if length == 0 && total != 0 {
        return refuse("length", format!("0 was given, at least 1 of {total} bytes is needed"));
    }
    Ok(())
}
