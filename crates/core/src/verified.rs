//! Verified streaming: any slice of some bytes can be checked against nothing but their BLAKE3 hash.
//!
//! The *outboard* holds the inner nodes of the hash tree down to groups of 16 KiB: for each node the chaining
//! values of its left and right child (32 + 32 bytes), pre-order, without a size prefix. A *slice* interleaves
//! nodes and bytes, pre-order: a node as in the outboard, then those of its children that overlap the range.
//! A subtree of at most 16 KiB that lies inside the range as a whole travels as its bytes; every other subtree
//! is opened, down to chunks of 1 KiB, so that the proof for one chunk of a 4 MiB shard stays below 2 KB.
//! Ranges are widened to whole chunks. Both forms are those of bao with chunk groups, without its size prefix.

use std::ops::Range;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::CoreError;
use crate::hash::{DIGEST_BYTES, Digest, PARALLEL_FROM_BYTES, hash};

/// The smallest unit of a proof, in bytes.
pub const CHUNK_BYTES: u64 = 1024;
/// The unit in which the outboard keeps hashes, in bytes.
pub const GROUP_BYTES: u64 = 16 * CHUNK_BYTES;
/// The largest total size that is accepted: what a JavaScript number counts exactly.
pub const MAX_TOTAL_BYTES: u64 = (1 << 53) - 1;

const NODE_BYTES: usize = 2 * DIGEST_BYTES;

/// The inner nodes of a hash tree, and its root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outboard {
    /// The BLAKE3 hash of the bytes.
    pub root: Digest,
    /// [`outboard_bytes`] of their size; empty up to one group.
    pub nodes: Vec<u8>,
}

/// How long the outboard of `total_bytes` is: one node less than there are groups.
pub fn outboard_bytes(total_bytes: u64) -> u64 {
    NODE_BYTES as u64 * total_bytes.div_ceil(GROUP_BYTES).saturating_sub(1)
}

/// Hashes `data`, on several threads when it is large, and keeps the inner nodes.
pub fn outboard(data: &[u8]) -> Outboard {
    let groups = data.len().div_ceil(to_usize(GROUP_BYTES));
    let mut nodes = vec![0; NODE_BYTES * groups.saturating_sub(1)];
    let root = if nodes.is_empty() {
        hash(data)
    } else {
        let (left, right) = fill_node(data, 0, &mut nodes);
        *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
    };
    Outboard { root, nodes }
}

/// The bytes `start..start + length` of `data` with the proof that [`verify_slice`] needs.
///
/// # Errors
///
/// [`CoreError::Argument`] for a range outside `data`, an empty range of bytes that are not empty, or an
/// outboard of the wrong size; [`CoreError::Proof`] when `data` and `nodes` do not belong together where the
/// slice touches them: a damaged file never becomes a wrong proof.
pub fn extract_slice(data: &[u8], nodes: &[u8], start: u64, length: u64) -> Result<Vec<u8>, CoreError> {
    let total = data.len() as u64;
    let range = chunk_range(total, start, length)?;
    if nodes.len() as u64 != outboard_bytes(total) {
        return Err(CoreError::size("nodes", nodes.len(), outboard_bytes(total)));
    }
    let mut slice = Vec::new();
    cut(data, 0, nodes, &range, &mut slice);
    let mut check = Verifier {
        rest: &slice,
        range,
        on_bytes: |_: u64, _: &[u8]| {},
    };
    check
        .verify_root(&root_of(data, nodes), total)
        .map_err(|_| CoreError::Proof("data and outboard do not belong together"))?;
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
    let range = chunk_range(total_bytes, start, length)?;
    // The slice carries every byte of the range, so that a shorter one is refused before anything is reserved.
    let wanted = usize::try_from(length)
        .ok()
        .filter(|&wanted| wanted <= slice.len());
    let mut bytes = Vec::with_capacity(wanted.ok_or(TOO_SHORT)?);
    let keep = |part_start: u64, part: &[u8]| {
        let from = inside(start, part_start, part.len());
        let to = inside(start + length, part_start, part.len());
        bytes.extend_from_slice(&part[from..to]);
    };
    Verifier {
        rest: slice,
        range,
        on_bytes: keep,
    }
    .verify_root(root, total_bytes)?;
    Ok(bytes)
}

/// Reads a slice from left to right.
struct Verifier<'a, F> {
    rest: &'a [u8],
    range: Range<u64>,
    /// Receives every verified part with its position.
    on_bytes: F,
}

impl<'a, F: FnMut(u64, &[u8])> Verifier<'a, F> {
    fn verify_root(&mut self, root: &Digest, total: u64) -> Result<(), CoreError> {
        if is_leaf(0, total, &self.range) {
            let bytes = self.take(total)?;
            expect(hash(bytes) == *root)?;
            (self.on_bytes)(0, bytes);
        } else {
            let (left, right) = self.take_node()?;
            expect(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes() == *root)?;
            self.verify_children(&left, &right, 0, total)?;
        }
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CoreError::Proof("bytes are left over"))
        }
    }

    /// Recursion ends after 43 levels: [`MAX_TOTAL_BYTES`] has no more.
    fn verify_subtree(&mut self, value: &ChainingValue, start: u64, length: u64) -> Result<(), CoreError> {
        if !overlaps(start, length, &self.range) {
            return Ok(());
        }
        if is_leaf(start, length, &self.range) {
            let bytes = self.take(length)?;
            expect(subtree_value(bytes, start) == *value)?;
            (self.on_bytes)(start, bytes);
            return Ok(());
        }
        let (left, right) = self.take_node()?;
        expect(merge_subtrees_non_root(&left, &right, Mode::Hash) == *value)?;
        self.verify_children(&left, &right, start, length)
    }

    fn verify_children(
        &mut self,
        left: &ChainingValue,
        right: &ChainingValue,
        start: u64,
        length: u64,
    ) -> Result<(), CoreError> {
        let middle = left_subtree_len(length);
        self.verify_subtree(left, start, middle)?;
        self.verify_subtree(right, start + middle, length - middle)
    }

    fn take_node(&mut self) -> Result<(ChainingValue, ChainingValue), CoreError> {
        self.take(NODE_BYTES as u64).map(read_node)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CoreError> {
        let length = usize::try_from(length).map_err(|_| TOO_SHORT)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TOO_SHORT)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Writes the part of a slice that belongs to the subtree `data` at `start`.
fn cut(data: &[u8], start: u64, nodes: &[u8], range: &Range<u64>, slice: &mut Vec<u8>) {
    let length = data.len() as u64;
    if is_leaf(start, length, range) {
        slice.extend_from_slice(data);
        return;
    }
    let middle = left_subtree_len(length);
    let (left, right) = data.split_at(to_usize(middle));
    let (node, below) = nodes.split_at_checked(NODE_BYTES).unwrap_or_default();
    if node.is_empty() {
        slice.extend_from_slice(&subtree_value(left, start));
        slice.extend_from_slice(&subtree_value(right, start + middle));
    } else {
        slice.extend_from_slice(node);
    }
    let left_nodes = to_usize(outboard_bytes(middle)).min(below.len());
    if overlaps(start, middle, range) {
        cut(left, start, &below[..left_nodes], range, slice);
    }
    if overlaps(start + middle, length - middle, range) {
        cut(right, start + middle, &below[left_nodes..], range, slice);
    }
}

/// Writes the nodes of a subtree larger than one group, and answers the values of its children.
fn fill_node(data: &[u8], start: u64, nodes: &mut [u8]) -> (ChainingValue, ChainingValue) {
    let middle = left_subtree_len(data.len() as u64);
    let (left, right) = data.split_at(to_usize(middle));
    let (node, below) = nodes.split_at_mut(NODE_BYTES);
    let (left_nodes, right_nodes) = below.split_at_mut(to_usize(outboard_bytes(middle)));
    let mut do_left = || fill_subtree(left, start, left_nodes);
    let mut do_right = || fill_subtree(right, start + middle, right_nodes);
    let (left, right) = if data.len() < PARALLEL_FROM_BYTES {
        (do_left(), do_right())
    } else {
        rayon::join(do_left, do_right)
    };
    node[..DIGEST_BYTES].copy_from_slice(&left);
    node[DIGEST_BYTES..].copy_from_slice(&right);
    (left, right)
}

fn fill_subtree(data: &[u8], start: u64, nodes: &mut [u8]) -> ChainingValue {
    if nodes.is_empty() {
        return subtree_value(data, start);
    }
    let (left, right) = fill_node(data, start, nodes);
    merge_subtrees_non_root(&left, &right, Mode::Hash)
}

fn subtree_value(data: &[u8], start: u64) -> ChainingValue {
    blake3::Hasher::new()
        .set_input_offset(start)
        .update(data)
        .finalize_non_root()
}

/// The root that the first node stands for.
fn root_of(data: &[u8], nodes: &[u8]) -> Digest {
    if nodes.is_empty() {
        return hash(data);
    }
    let (left, right) = read_node(nodes);
    *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
}

fn read_node(bytes: &[u8]) -> (ChainingValue, ChainingValue) {
    let value = |from: usize| {
        let value = bytes[from..from + DIGEST_BYTES].try_into();
        value.expect("a range of 32 bytes has 32 bytes")
    };
    (value(0), value(DIGEST_BYTES))
}

/// A subtree travels as its bytes when it is one chunk, or at most a group and wanted as a whole.
fn is_leaf(start: u64, length: u64, range: &Range<u64>) -> bool {
    let whole = range.start <= start && start + length <= range.end;
    length <= CHUNK_BYTES || (length <= GROUP_BYTES && whole)
}

fn overlaps(start: u64, length: u64, range: &Range<u64>) -> bool {
    start < range.end && range.start < start + length
}

/// How far into a part at `part_start` the position `at` lies.
fn inside(at: u64, part_start: u64, part_bytes: usize) -> usize {
    usize::try_from(at.saturating_sub(part_start)).map_or(part_bytes, |into| into.min(part_bytes))
}

/// `start..start + length` widened to whole chunks.
fn chunk_range(total: u64, start: u64, length: u64) -> Result<Range<u64>, CoreError> {
    let refuse = |name, problem| Err(CoreError::Argument { name, problem });
    if total > MAX_TOTAL_BYTES {
        return refuse(
            "totalBytes",
            format!("{total} was given, at most {MAX_TOTAL_BYTES} is allowed"),
        );
    }
    if start > total {
        return refuse("start", format!("{start} lies behind the {total} bytes"));
    }
    if length > total - start {
        return refuse(
            "length",
            format!("{length} from {start} reaches behind the {total} bytes"),
        );
    }
    // A proof of nothing would prove nothing; only empty bytes have no other.
    if length == 0 && total != 0 {
        return refuse(
            "length",
            format!("0 was given, at least 1 of {total} bytes is needed"),
        );
    }
    Ok(start - start % CHUNK_BYTES..(start + length).next_multiple_of(CHUNK_BYTES))
}

fn expect(fits: bool) -> Result<(), CoreError> {
    if fits {
        Ok(())
    } else {
        Err(CoreError::Proof("a part of the slice has another hash"))
    }
}

/// For lengths below that of a slice in memory.
fn to_usize(length: u64) -> usize {
    usize::try_from(length).expect("a part is not longer than the slice that it is a part of")
}

const TOO_SHORT: CoreError = CoreError::Proof("the slice is too short");
