//! Espalier's Node-API addon: checks, copies, calls and converts. Plain functions on numbers and typed arrays;
//! what they name by number lives in the tables of one environment, which is one JavaScript thread.

// napi hands every argument over by value.
#![allow(clippy::needless_pass_by_value)]
// What is sealed and what seals it belong together.
#![allow(clippy::similar_names)]
// napi exports nothing from a test build, so that there most of this is unused.
#![cfg_attr(test, allow(dead_code, unused_imports))]

mod arguments;
mod bytes;
mod environment;
mod erasure;
mod failure;
mod faults;
mod gate;
mod hash;
mod jobs;
mod kem;
mod key_file;
mod key_store;
mod list;
mod lock;
mod metrics;
mod queue;
mod seal;
mod segment;
mod shard_file;
mod sign;
mod table;
mod text;
mod transport;
mod transport_events;
mod verified;

use napi_derive::napi;

/// The version of the package that this addon belongs to.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
