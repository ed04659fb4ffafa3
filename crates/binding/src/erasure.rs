//! Reed–Solomon.

use std::sync::Arc;

use espalier_core::erasure::{ErasureCoder, MAX_SHARDS, ShardLayout};
use napi_derive::napi;

use crate::failure::Failure;
use crate::list::ByteList;
use crate::{arguments, bytes};

/// Computes the parity of `data`.
#[napi(catch_unwind)]
pub fn erasure_encode(
    data_shards: f64,
    parity_shards: f64,
    data: ByteList<'_>,
    parity_out: ByteList<'_>,
) -> napi::Result<()> {
    let coder = coder(data_shards, parity_shards)?;
    let (data, mut parity_out) = (data.slices()?, parity_out.slices()?);
    let data: Vec<&[u8]> = data.iter().map(|shard| &**shard).collect();
    bytes::fill_all(&mut parity_out, &data, |parity| Ok(coder.encode(&data, parity)?))?;
    Ok(())
}

/// Computes the absent ones of `shards`, in order.
#[napi(catch_unwind)]
pub fn erasure_reconstruct(
    data_shards: f64,
    parity_shards: f64,
    shards: ByteList<'_>,
    rebuilt_out: ByteList<'_>,
) -> napi::Result<()> {
    let coder = coder(data_shards, parity_shards)?;
    let (shards, mut rebuilt_out) = (shards.optional_slices()?, rebuilt_out.slices()?);
    let shards: Vec<Option<&[u8]>> = shards.iter().map(Option::as_deref).collect();
    let (missing, _) = coder.missing(&shards).map_err(Failure::from)?;
    let given: Vec<&[u8]> = shards.iter().copied().flatten().collect();
    bytes::fill_all(&mut rebuilt_out, &given, |rebuilt| {
        Ok(coder.reconstruct(&shards, &missing, rebuilt)?)
    })?;
    Ok(())
}

/// The shared coder of a layout.
pub(crate) fn coder(data_shards: f64, parity_shards: f64) -> Result<Arc<ErasureCoder>, Failure> {
    let data_shards = arguments::count("dataShards", data_shards, MAX_SHARDS)?;
    let parity_shards = arguments::count("parityShards", parity_shards, MAX_SHARDS)?;
    Ok(ErasureCoder::shared(ShardLayout::new(
        data_shards,
        parity_shards,
    )?)?)
}
