//! Fuzz targets: one for each parser that reads a peer's bytes.
//!
//! A target is a plain function that panics when a property is broken. `cargo test` replays the corpus and a number of
//! seeded mutations on stable Rust; `cargo fuzz` runs the same functions under libFuzzer (`npm run fuzz`).

// Oracles call what the crate under test wraps; a panic is how a target reports.
#![allow(clippy::missing_panics_doc)]

mod gf256;
mod input;
pub mod mutate;
mod plain;
pub mod targets;
mod victim;

/// One parser with what has to hold for it.
#[derive(Clone, Copy)]
pub struct Target {
    /// As its corpus folder and its cargo-fuzz program are called.
    pub name: &'static str,
    /// Panics when a property is broken.
    pub run: fn(&[u8]),
    /// Inputs that reach far, made by our own encoders.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Mutations in a normal test run: fewer where one costs a signature or a handshake.
    pub mutations: u32,
    /// The longest input that is tried.
    pub max_bytes: usize,
    /// Bytes that one run may have allocated at once, for an input of so many bytes. `usize::MAX` where a library
    /// allocates for its own needs.
    pub memory: fn(usize) -> usize,
}

/// The target of a name, for the programs of cargo fuzz.
pub fn run(name: &str, data: &[u8]) {
    let target = targets::ALL.iter().find(|target| target.name == name);
    (target.expect("the program is named after a target").run)(data);
}
