//! A segment from shards that holders made up.

use std::sync::OnceLock;

use espalier_core::{
    erasure::{ErasureCoder, ShardLayout},
    segment::{EncodedSegment, decode_segment, encode_segment, shard_bytes},
};

use crate::{Target, input::Input};

use super::noise;

const KEY: [u8; 32] = [7; 32];
const INDEX: u64 = 5;
const PLAINTEXT_BYTES: usize = 500;
const LAYOUTS: [(usize, usize); 4] = [(1, 0), (2, 1), (8, 4), (5, 3)];

/// Layout, which shards are there, claimed size of the plaintext; then the shards.
pub(super) const TARGET: Target = Target {
    name: "segment",
    run: |data| {
        let mut input = Input::new(data);
        let (layout, present, claimed) = (usize::from(input.u8()) % LAYOUTS.len(), input.u16(), input.u32());
        let Known { coder, plaintext, .. } = &known()[layout];
        let claimed = usize::try_from(claimed).unwrap_or(usize::MAX);
        let size = shard_bytes(coder.layout(), claimed).unwrap_or(64).min(data.len());
        let shards: Vec<Option<&[u8]>> = (0..coder.layout().total_shards())
            .map(|at| (present >> at & 1 == 1).then(|| input.take(size)))
            .collect();
        match decode_segment(&KEY, INDEX, coder, claimed, &shards) {
            Ok(opened) => assert_eq!(opened, *plaintext, "only what was sealed opens"),
            Err(error) => assert!(
                ["INVALID_ARGUMENT", "SHARDS_MISSING", "DECRYPT_FAILED"].contains(&error.code()),
                "{error}"
            ),
        }
    },
    seeds: || {
        let mut seeds = Vec::new();
        for (layout, known) in known().iter().enumerate() {
            let shards = known.coder.layout();
            let all: u16 = (1 << shards.total_shards()) - 1;
            for present in [
                all,
                all >> shards.parity_shards(),
                all << shards.parity_shards() & all,
            ] {
                let mut seed = vec![u8::try_from(layout).expect("few layouts")];
                seed.extend(present.to_le_bytes());
                seed.extend(
                    u32::try_from(PLAINTEXT_BYTES)
                        .expect("a small segment")
                        .to_le_bytes(),
                );
                for (at, shard) in known
                    .encoded
                    .shards
                    .chunks_exact(known.encoded.shard_bytes)
                    .enumerate()
                {
                    if present >> at & 1 == 1 {
                        seed.extend(shard);
                    }
                }
                seeds.push(seed);
            }
        }
        seeds
    },
    mutations: 100_000,
    max_bytes: 4096,
    // A claim of a large segment is refused by the size of its shards, before anything is allocated for it.
    memory: |given| 16 * given + 16_384,
};

struct Known {
    coder: ErasureCoder,
    plaintext: Vec<u8>,
    encoded: EncodedSegment,
}

fn known() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let make = |&(data, parity): &(usize, usize)| {
            let layout = ShardLayout::new(data, parity).expect("a small layout");
            let coder = ErasureCoder::new(layout).expect("every layout has a matrix");
            let plaintext = noise(4, PLAINTEXT_BYTES);
            let encoded = encode_segment(&KEY, INDEX, &plaintext, &coder).expect("sizes are in range");
            Known {
                coder,
                plaintext,
                encoded,
            }
        };
        LAYOUTS.iter().map(make).collect()
    })
}
