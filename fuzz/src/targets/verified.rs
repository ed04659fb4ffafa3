//! Slices and outboards of verified streaming.

use std::sync::OnceLock;

use espalier_core::verified::{Outboard, extract_slice, outboard, verify_slice};

use crate::{Target, input::Input};

use super::noise;

/// Three groups and a bit: nodes in the outboard, groups that are opened, a short last chunk.
const DATA_BYTES: usize = 3 * 16_384 + 1500;

/// Four bytes of start, four of length, then the slice.
pub(super) const VERIFY: Target = Target {
    name: "verify_slice",
    run: |data| {
        let mut input = Input::new(data);
        let (start, length) = (u64::from(input.u32()), u64::from(input.u32()));
        let slice = input.rest();
        let (known, board) = known();
        let total = known.len() as u64;
        if let Ok(bytes) = verify_slice(&board.root, total, start, length, slice) {
            assert_eq!(bytes, part(known, start, length), "only the true bytes verify");
            let again = extract_slice(known, &board.nodes, start, length);
            assert_eq!(again.as_deref(), Ok(slice), "one slice for each range");
        }
        // The same bytes against what they claim themselves: any size, any root.
        let mut lie = Input::new(slice);
        let (root, total, start) = (lie.array(), lie.u64(), lie.u64());
        let length = lie.u64();
        if let Ok(bytes) = verify_slice(&root, total, start, length, lie.rest()) {
            assert_eq!(bytes.len() as u64, length);
        }
    },
    seeds: || {
        let (known, board) = known();
        let total = known.len();
        let ranges = [
            (0, 1),
            (0, 1024),
            (1000, 100),
            (16_384, 16_384),
            (0, 20_000),
            (49_000, 1652),
        ];
        let mut seeds: Vec<Vec<u8>> = ranges
            .iter()
            .map(|&(start, length): &(u32, u32)| {
                let slice = extract_slice(known, &board.nodes, start.into(), length.into());
                let slice = slice.expect("the range lies inside");
                [&start.to_le_bytes()[..], &length.to_le_bytes(), &slice].concat()
            })
            .collect();
        // A true slice under its own claims, behind eight bytes of a range.
        let claim = [
            &board.root[..],
            &(total as u64).to_le_bytes(),
            &[0; 8],
            &100_u64.to_le_bytes(),
        ]
        .concat();
        let slice = extract_slice(known, &board.nodes, 0, 100).expect("the range lies inside");
        seeds.push([&[0; 8][..], &claim, &slice].concat());
        seeds
    },
    mutations: 100_000,
    max_bytes: 65_536,
    memory: |given| 2 * (given + DATA_BYTES) + 8192,
};

/// Four bytes of start, four of length, then the outboard that a damaged or foreign disk holds.
pub(super) const EXTRACT: Target = Target {
    name: "extract_slice",
    run: |data| {
        let mut input = Input::new(data);
        let (start, length) = (u64::from(input.u32()), u64::from(input.u32()));
        let nodes = input.rest();
        let (known, board) = known();
        if let Ok(slice) = extract_slice(known, nodes, start, length)
            && nodes[..64] == board.nodes[..64]
        {
            let bytes = verify_slice(&board.root, known.len() as u64, start, length, &slice);
            assert_eq!(
                bytes.as_deref(),
                Ok(part(known, start, length)),
                "never a wrong proof"
            );
        }
    },
    seeds: || {
        let (_, board) = known();
        let ranges = [(0_u32, 1_u32), (0, 50_652), (16_384, 100), (50_651, 1)];
        let whole = ranges
            .map(|(start, length)| [&start.to_le_bytes()[..], &length.to_le_bytes(), &board.nodes].concat());
        whole.to_vec()
    },
    mutations: 100_000,
    max_bytes: 1024,
    memory: |given| 4 * (given + DATA_BYTES) + 8192,
};

fn known() -> &'static (Vec<u8>, Outboard) {
    static KNOWN: OnceLock<(Vec<u8>, Outboard)> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let data = noise(3, DATA_BYTES);
        let board = outboard(&data);
        (data, board)
    })
}

fn part(data: &[u8], start: u64, length: u64) -> &[u8] {
    let at = |position: u64| usize::try_from(position).expect("the range lies inside");
    &data[at(start)..at(start + length)]
}
