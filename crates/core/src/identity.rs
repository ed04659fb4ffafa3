//! The name of a node.

/// Bytes in a node id.
pub const NODE_ID_BYTES: usize = 32;

/// `derive_key` context of a node id; the date names the version of the rule.
const NODE_ID_CONTEXT: &str = "espalier 2026-11 node id v1";

/// BLAKE3 `derive_key` of an ML-DSA-65 public key.
pub fn node_id(public_key: &[u8]) -> [u8; NODE_ID_BYTES] {
    blake3::derive_key(NODE_ID_CONTEXT, public_key)
}
