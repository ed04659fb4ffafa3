//! Reed–Solomon by the library that Espalier uses, called from Rust.

use std::{hint::black_box, time::Duration};

use rusty_erasure::Matrix;
use serde_json::Value;

use crate::commands::{Failure, repeat};

pub struct Layout {
    pub data: usize,
    pub parity: usize,
    pub shard_bytes: usize,
}

impl Layout {
    fn coder(&self) -> Result<rusty_erasure::Coder, Failure> {
        let matrix = Matrix::cauchy(self.data, self.parity).map_err(|error| format!("{error:?}"))?;
        rusty_erasure::coder(matrix).map_err(|error| format!("{error:?}").into())
    }

    fn data(&self) -> Vec<Vec<u8>> {
        let byte =
            |shard: usize, index: usize| u8::try_from((shard * 31 + index * 7) % 251).unwrap_or_default();
        (0..self.data)
            .map(|shard| (0..self.shard_bytes).map(|index| byte(shard, index)).collect())
            .collect()
    }

    fn parity(&self) -> Vec<Vec<u8>> {
        vec![vec![0; self.shard_bytes]; self.parity]
    }
}

pub fn encode(time: Duration, layout: &Layout) -> Result<Value, Failure> {
    let (coder, data, mut parity) = (layout.coder()?, layout.data(), layout.parity());
    let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut parity: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
    Ok(repeat(time, || {
        coder
            .encode(black_box(&data), &mut parity)
            .expect("the shards fit the layout");
    }))
}

/// As many data shards as the code can lose are lost, and all of them are computed again.
pub fn repair(time: Duration, layout: &Layout) -> Result<Value, Failure> {
    let (coder, data, mut parity) = (layout.coder()?, layout.data(), layout.parity());
    let borrowed: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut targets: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
    coder
        .encode(&borrowed, &mut targets)
        .map_err(|error| format!("{error:?}"))?;

    let lost: Vec<usize> = (0..layout.parity.min(layout.data)).collect();
    let shards: Vec<Option<&[u8]>> = data
        .iter()
        .chain(&parity)
        .enumerate()
        .map(|(index, shard)| (!lost.contains(&index)).then_some(shard.as_slice()))
        .collect();
    let mut rebuilt = vec![vec![0; layout.shard_bytes]; lost.len()];
    let mut targets: Vec<&mut [u8]> = rebuilt.iter_mut().map(Vec::as_mut_slice).collect();
    let measured = repeat(time, || {
        coder
            .recover(black_box(&shards), &lost, &mut targets)
            .expect("enough shards are there");
    });
    if rebuilt != data[..lost.len()] {
        return Err("the repaired shards differ".into());
    }
    Ok(measured)
}
