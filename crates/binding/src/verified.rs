//! Verified streaming.

use espalier_core::verified;
use napi::bindgen_prelude::Uint8ArraySlice;
use napi_derive::napi;

use crate::arguments::{self, MAX_SAFE_INTEGER};
use crate::bytes::{self, ByteArray};
use crate::failure::Failure;

/// The root and the inner nodes of `data`.
#[napi(catch_unwind)]
pub fn outboard(
    data: ByteArray<'_>,
    mut root_out: ByteArray<'_>,
    mut nodes_out: ByteArray<'_>,
) -> napi::Result<()> {
    let made = verified::outboard(&data);
    bytes::put(&mut root_out, 0, &made.root)?;
    Ok(bytes::put(&mut nodes_out, 0, &made.nodes)?)
}

/// A part of `data` with its proof.
#[napi(catch_unwind)]
pub fn extract_slice<'env>(
    env: &'env napi::Env,
    data: ByteArray<'_>,
    nodes: ByteArray<'_>,
    start: f64,
    length: f64,
) -> napi::Result<Uint8ArraySlice<'env>> {
    let start = arguments::integer("start", start, MAX_SAFE_INTEGER)?;
    let length = arguments::integer("length", length, MAX_SAFE_INTEGER)?;
    let slice = verified::extract_slice(&data, &nodes, start, length).map_err(Failure::from)?;
    Uint8ArraySlice::copy_from(env, slice)
}

/// The bytes that a slice proves.
#[napi(catch_unwind)]
pub fn verify_slice<'env>(
    env: &'env napi::Env,
    root: ByteArray<'_>,
    total_bytes: f64,
    start: f64,
    length: f64,
    slice: ByteArray<'_>,
) -> napi::Result<Uint8ArraySlice<'env>> {
    let root = arguments::exactly("root", &root)?;
    let total_bytes = arguments::integer("totalBytes", total_bytes, MAX_SAFE_INTEGER)?;
    let start = arguments::integer("start", start, MAX_SAFE_INTEGER)?;
    let length = arguments::integer("length", length, MAX_SAFE_INTEGER)?;
    let proved = verified::verify_slice(root, total_bytes, start, length, &slice).map_err(Failure::from)?;
    Uint8ArraySlice::copy_from(env, proved)
}
