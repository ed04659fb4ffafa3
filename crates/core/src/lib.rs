//! Espalier's cryptographic core: pure computation without clock, I/O or `unsafe`.

#![forbid(unsafe_code)]
// What is sealed and what seals it, the seed and the sealed: these pairs belong together.
#![allow(clippy::similar_names)]

pub mod erasure;
pub mod error;
pub mod hash;
pub mod identity;
pub mod kem;
pub mod key_file;
pub mod random;
pub mod seal;
pub mod segment;
pub mod sign;
pub mod verified;
pub mod words;

pub use error::CoreError;
