//! A small seeded mutator for runs without libFuzzer.

/// xoshiro256** (Blackman and Vigna): one seed gives one run.
pub struct Random([u64; 4]);

impl Random {
    /// From a seed, spread by splitmix64.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// 0 to `bound` − 1; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.bits() % bound).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.bits().to_le_bytes()[0]
    }
}

/// Values at which lengths and counters turn.
const INTERESTING: [u64; 16] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x3fff,
    0x4000,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    (1 << 53) - 1,
    (1 << 62) - 1,
    u64::MAX,
];

/// One to eight changes to one of `corpus`, at most `max_bytes` long.
pub fn mutate(random: &mut Random, corpus: &[Vec<u8>], max_bytes: usize) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(8) {
        change(random, corpus, &mut bytes);
        bytes.truncate(max_bytes);
    }
    bytes
}

fn change(random: &mut Random, corpus: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    match random.below(10) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        1 if !bytes.is_empty() => bytes[at] = random.byte(),
        2 if !bytes.is_empty() => {
            bytes[at] = bytes[at].wrapping_add(if random.below(2) == 0 { 1 } else { 255 });
        }
        3 => interesting(random, bytes, at),
        4 => bytes.truncate(at),
        5 => {
            let count = 1 + random.below(64);
            let fill = random.byte();
            bytes.extend((0..count).map(|_| fill));
        }
        6 => {
            // A piece taken out.
            let end = (at + 1 + random.below(32)).min(bytes.len());
            bytes.drain(at.min(end)..end);
        }
        7 => {
            // A piece twice.
            let end = (at + 1 + random.below(32)).min(bytes.len());
            let piece = bytes[at.min(end)..end].to_vec();
            bytes.splice(at..at, piece);
        }
        8 => {
            // Random bytes over a run.
            let end = (at + random.below(16)).min(bytes.len());
            for byte in &mut bytes[at.min(end)..end] {
                *byte = random.byte();
            }
        }
        _ => {
            // The end of another input, from anywhere in it.
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

fn interesting(random: &mut Random, bytes: &mut [u8], at: usize) {
    let value = INTERESTING[random.below(INTERESTING.len())];
    let width = 1 << random.below(4);
    let little = random.below(2) == 0;
    let spelt = if little {
        value.to_le_bytes()
    } else {
        value.rotate_right(8 * width).to_be_bytes()
    };
    for (target, byte) in bytes
        .iter_mut()
        .skip(at)
        .take(usize::try_from(width).unwrap_or(8))
        .zip(spelt)
    {
        *target = byte;
    }
}
