//! All targets.

mod erasure;
mod frames;
mod handshake;
mod initial;
mod kem;
mod key_file;
mod packets;
mod seal;
mod segment;
mod sign;
mod verified;
mod wire;

use crate::Target;

/// Every target, as `fuzz_targets` and the corpus folders name them.
pub const ALL: &[Target] = &[
    wire::STREAM_HEADER,
    wire::ANSWER,
    wire::DATAGRAM,
    wire::PUBLIC_KEY,
    packets::TARGET,
    verified::VERIFY,
    verified::EXTRACT,
    erasure::TARGET,
    segment::TARGET,
    seal::TARGET,
    kem::DECAPSULATE,
    kem::ENCAPSULATE,
    sign::TARGET,
    key_file::FILE,
    key_file::WORDS,
    handshake::TARGET,
    initial::DATAGRAMS,
    initial::FRAMES,
    frames::TARGET,
];

/// Bytes that look random and are the same every time.
fn noise(label: u8, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new()
        .update(&[label])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}
