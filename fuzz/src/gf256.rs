//! A second Reed–Solomon, slow and plain: the oracle for the fast one.

/// Product in GF(2⁸) with polynomial 0x11D.
pub(crate) fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        let carry = a & 0x80 != 0;
        a <<= 1;
        if carry {
            a ^= 0x1d;
        }
        b >>= 1;
    }
    product
}

/// a²⁵⁴, by Fermat.
fn inverse(a: u8) -> u8 {
    (0..253).fold(a, |power, _| multiply(power, a))
}

/// The bytes of parity shard `row` (counted from all shards): the sum over `1 / (row xor column)`.
pub(crate) fn parity(row: usize, data: &[&[u8]]) -> Vec<u8> {
    let mut parity = vec![0; data.first().map_or(0, |shard| shard.len())];
    for (column, shard) in data.iter().enumerate() {
        let factor = inverse(u8::try_from(row ^ column).expect("a stripe has at most 255 shards"));
        for (target, byte) in parity.iter_mut().zip(*shard) {
            *target ^= multiply(factor, *byte);
        }
    }
    parity
}
