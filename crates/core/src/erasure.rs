//! Systematic Reed–Solomon over GF(2⁸) with polynomial 0x11D.
//!
//! The matrix is ISA-L's `gf_gen_cauchy1_matrix`: the identity over `1 / (row xor column)`. That matrix is
//! the wire format; any implementation that uses it gives the same bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rusty_erasure::{Coder, Matrix, RecoverError};

use crate::CoreError;

/// The most shards of one stripe: GF(2⁸) runs out of distinct rows beyond.
pub const MAX_SHARDS: usize = 255;
/// The largest shard.
pub const MAX_SHARD_BYTES: usize = 4 << 20;
/// How many coders [`ErasureCoder::shared`] keeps.
const MAX_KEPT: usize = 32;

/// How many pieces something is cut into, and how many of them may be lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShardLayout {
    data: usize,
    parity: usize,
}

impl ShardLayout {
    /// A layout of `data_shards` + `parity_shards`. No parity at all is allowed: a lone node has nobody
    /// to give it to.
    ///
    /// # Errors
    ///
    /// [`CoreError::Argument`] for no data shard, or more than [`MAX_SHARDS`] in all.
    pub fn new(data_shards: usize, parity_shards: usize) -> Result<Self, CoreError> {
        let problem = |name, given, max: usize| CoreError::Argument {
            name,
            problem: format!(
                "{given} was given, {} to {max} is allowed",
                usize::from(name == "dataShards")
            ),
        };
        if data_shards == 0 || data_shards > MAX_SHARDS {
            return Err(problem("dataShards", data_shards, MAX_SHARDS));
        }
        if parity_shards > MAX_SHARDS - data_shards {
            return Err(problem("parityShards", parity_shards, MAX_SHARDS - data_shards));
        }
        Ok(Self {
            data: data_shards,
            parity: parity_shards,
        })
    }

    /// Shards that suffice to give everything back.
    pub fn data_shards(self) -> usize {
        self.data
    }

    /// Shards that may be lost.
    pub fn parity_shards(self) -> usize {
        self.parity
    }

    /// Data and parity shards together.
    pub fn total_shards(self) -> usize {
        self.data + self.parity
    }
}

/// Encodes and repairs stripes of one layout. Building it computes the matrix: keep it.
#[derive(Debug)]
pub struct ErasureCoder {
    layout: ShardLayout,
    /// `None` without parity: there is nothing to compute.
    coder: Option<Coder>,
}

impl ErasureCoder {
    /// A coder with the best instructions that this processor has.
    ///
    /// # Errors
    ///
    /// [`CoreError::Internal`] when the matrix cannot be built, which no valid layout causes.
    pub fn new(layout: ShardLayout) -> Result<Self, CoreError> {
        let build = || Matrix::cauchy(layout.data, layout.parity).and_then(rusty_erasure::coder);
        let coder = match layout.parity {
            0 => None,
            _ => Some(build().map_err(|_| CoreError::Internal("the coding matrix cannot be built"))?),
        };
        Ok(Self { layout, coder })
    }

    /// As [`Self::new`], but kept: a program uses few layouts, and a matrix costs more than a small stripe.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn shared(layout: ShardLayout) -> Result<Arc<Self>, CoreError> {
        /// Most recently made last. Bounded by `MAX_KEPT`; the largest takes half a megabyte.
        static KEPT: Mutex<VecDeque<Arc<ErasureCoder>>> = Mutex::new(VecDeque::new());
        // A panic under the lock leaves at worst a list without one coder.
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.iter().find(|coder| coder.layout == layout) {
            return Ok(Arc::clone(found));
        }
        let coder = Arc::new(Self::new(layout)?);
        if kept.len() >= MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&coder));
        Ok(coder)
    }

    /// The layout of every stripe.
    pub fn layout(&self) -> ShardLayout {
        self.layout
    }

    /// Computes the parity of `data` into `parity`, whatever was in there.
    ///
    /// # Errors
    ///
    /// [`CoreError::Argument`] for a wrong number of shards, unequal sizes, or a size outside
    /// 1 to [`MAX_SHARD_BYTES`].
    pub fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), CoreError> {
        let Some(first) = data.first() else {
            return Err(self.count("dataShards", 0, self.layout.data));
        };
        if data.len() != self.layout.data {
            return Err(self.count("dataShards", data.len(), self.layout.data));
        }
        if parity.len() != self.layout.parity {
            return Err(self.count("parityShards", parity.len(), self.layout.parity));
        }
        check_sizes(first.len(), data.iter().map(|shard| shard.len()), "dataShards")?;
        check_sizes(
            first.len(),
            parity.iter().map(|shard| shard.len()),
            "parityShards",
        )?;
        match &self.coder {
            None => Ok(()),
            Some(coder) => coder
                .encode(data, parity)
                .map_err(|_| CoreError::Internal("encoding failed")),
        }
    }

    /// The indices of the shards that are absent from `shards`, after every check that
    /// [`Self::reconstruct`] makes; and the size of a shard.
    ///
    /// # Errors
    ///
    /// As [`Self::reconstruct`].
    pub fn missing(&self, shards: &[Option<&[u8]>]) -> Result<(Vec<usize>, usize), CoreError> {
        if shards.len() != self.layout.total_shards() {
            return Err(self.count("shards", shards.len(), self.layout.total_shards()));
        }
        let missing: Vec<usize> = (0..shards.len())
            .filter(|&index| shards[index].is_none())
            .collect();
        let found = shards.len() - missing.len();
        if found < self.layout.data {
            return Err(CoreError::ShardsMissing {
                found,
                needed: self.layout.data,
            });
        }
        let size = shards.iter().flatten().next().map_or(0, |shard| shard.len());
        check_sizes(size, shards.iter().flatten().map(|shard| shard.len()), "shards")?;
        Ok((missing, size))
    }

    /// Computes the shards named by `wanted` into `rebuilt`, from any [`ShardLayout::data_shards`] of `shards`.
    ///
    /// # Errors
    ///
    /// [`CoreError::ShardsMissing`] with fewer shards than that; [`CoreError::Argument`] for a wrong number
    /// of shards, unequal sizes, or an index that no shard has.
    pub fn reconstruct(
        &self,
        shards: &[Option<&[u8]>],
        wanted: &[usize],
        rebuilt: &mut [&mut [u8]],
    ) -> Result<(), CoreError> {
        let (_, size) = self.missing(shards)?;
        if rebuilt.len() != wanted.len() || wanted.iter().any(|&index| index >= shards.len()) {
            return Err(self.count("wanted", rebuilt.len(), wanted.len()));
        }
        check_sizes(size, rebuilt.iter().map(|shard| shard.len()), "rebuilt")?;
        // The library takes the size of a shard from the first one that it rebuilds.
        if wanted.is_empty() {
            return Ok(());
        }
        let Some(coder) = &self.coder else {
            for (&index, target) in wanted.iter().zip(rebuilt) {
                // Without parity every shard had to be present, or `missing` would have refused.
                target.copy_from_slice(shards[index].unwrap_or_default());
            }
            return Ok(());
        };
        coder
            .recover(shards, wanted, rebuilt)
            .map_err(|error| match error {
                RecoverError::TooManyMissing { missing, .. } => CoreError::ShardsMissing {
                    found: shards.len() - missing,
                    needed: self.layout.data,
                },
                _ => CoreError::Internal("reconstruction failed"),
            })
    }

    #[allow(clippy::unused_self)]
    fn count(&self, name: &'static str, given: usize, allowed: usize) -> CoreError {
        CoreError::Argument {
            name,
            problem: format!("{given} shards were given, {allowed} are needed"),
        }
    }
}

fn check_sizes(
    size: usize,
    mut sizes: impl Iterator<Item = usize>,
    name: &'static str,
) -> Result<(), CoreError> {
    if size == 0 || size > MAX_SHARD_BYTES {
        return Err(CoreError::size(
            name,
            size,
            format!("1 to {MAX_SHARD_BYTES} in each shard"),
        ));
    }
    match sizes.find(|&other| other != size) {
        Some(other) => Err(CoreError::size(
            name,
            other,
            format!("{size}, as in the first shard,"),
        )),
        None => Ok(()),
    }
}
