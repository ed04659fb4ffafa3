//! Stripes with shards that a holder made up.

use espalier_core::erasure::{ErasureCoder, ShardLayout};

use crate::{Target, gf256, input::Input};

use super::noise;

/// Data shards, parity shards, which are there (four bytes), size; then the shards, the last ones short or empty.
pub(super) const TARGET: Target = Target {
    name: "erasure",
    run: |data| {
        let mut input = Input::new(data);
        let (data_shards, parity_shards) = (usize::from(input.u8() % 34), usize::from(input.u8() % 18));
        let (present, size) = (input.u32(), usize::from(input.u8()));
        let Ok(layout) = ShardLayout::new(data_shards, parity_shards) else {
            return;
        };
        let coder = ErasureCoder::shared(layout).expect("every layout has a matrix");
        let total = layout.total_shards();
        let shards: Vec<Option<&[u8]>> = (0..total)
            .map(|at| (present >> (at % 32) & 1 == 1).then(|| input.take(size)))
            .collect();

        let Ok((missing, size)) = coder.missing(&shards) else {
            return;
        };
        let mut made = vec![vec![0; size]; missing.len()];
        let mut targets: Vec<&mut [u8]> = made.iter_mut().map(Vec::as_mut_slice).collect();
        let rebuilt = coder.reconstruct(&shards, &missing, &mut targets);
        assert_eq!(rebuilt, Ok(()), "what `missing` lets through can be rebuilt");

        // Any so many shards are a stripe, whoever made them up: parity has to fit all of them.
        if total - missing.len() == data_shards {
            let mut rest = made.iter();
            let whole: Vec<&[u8]> = shards
                .iter()
                .map(|shard| shard.unwrap_or_else(|| rest.next().expect("one for each that is missing")))
                .collect();
            let (stripe, parity) = whole.split_at(data_shards);
            for (row, shard) in parity.iter().enumerate() {
                assert_eq!(gf256::parity(data_shards + row, stripe), *shard, "parity {row}");
            }
        }
    },
    seeds: || {
        let stripe = |data: u8, parity: u8, present: u32, size: u8| {
            let shards = noise(data, usize::from(size) * usize::from(data + parity));
            [&[data, parity][..], &present.to_le_bytes(), &[size], &shards].concat()
        };
        vec![
            stripe(1, 0, 1, 4),
            stripe(8, 4, 0b1111_0000_1111, 8),
            stripe(4, 2, 0b11_1100, 64),
            stripe(16, 8, 0xff_ff00, 16),
            stripe(8, 4, 0b1111_1111_1111, 3),
            stripe(32, 0, u32::MAX, 2),
        ]
    },
    mutations: 100_000,
    max_bytes: 4096,
    // Tables of the widest layout, 32 bytes for each pair of shards, and everything that is rebuilt.
    memory: |given| 64 * given + (1 << 20),
};
