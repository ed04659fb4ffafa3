//! Bytes of one stream that wait for the owner, in the pieces that they came in.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::{account::Ahead, limits::COPIED_BELOW};

pub(crate) struct Pieces {
    /// Bounded by the read-ahead of the connection and `COPIED_BELOW`.
    large: VecDeque<Bytes>,
    /// What came after all of `large`.
    small: BytesMut,
    ahead: Ahead,
}

impl Pieces {
    pub(crate) fn new(ahead: Ahead) -> Self {
        Self {
            large: VecDeque::new(),
            small: BytesMut::new(),
            ahead,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ahead.bytes()
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        self.ahead.count(piece.len());
        if piece.len() < COPIED_BELOW {
            self.small.extend_from_slice(&piece);
            return;
        }
        if !self.small.is_empty() {
            self.large.push_back(self.small.split().freeze());
        }
        self.large.push_back(piece);
    }

    /// Moves what fits into `target` and answers its bytes.
    pub(crate) fn take(&mut self, target: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < target.len() {
            if self.large.is_empty() && !self.small.is_empty() {
                self.large.push_back(std::mem::take(&mut self.small).freeze());
            }
            let Some(piece) = self.large.front_mut() else {
                break;
            };
            let count = piece.len().min(target.len() - filled);
            target[filled..filled + count].copy_from_slice(&piece[..count]);
            filled += count;
            if count == piece.len() {
                self.large.pop_front();
            } else {
                let _ = piece.split_to(count);
            }
        }
        self.ahead.take(filled);
        filled
    }

    pub(crate) fn clear(&mut self) {
        self.large = VecDeque::new();
        self.small = BytesMut::new();
        self.ahead.take(self.ahead.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{account::Account, budget::Kind};

    #[test]
    fn small_and_large_pieces_come_out_in_order_at_any_size_of_target() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        for target_size in [1, 7, 1023, 4096, 300_000] {
            let mut pieces = Pieces::new(Ahead::new(Account::new(), Kind::ReadAhead));
            let (mut given, mut got) = (0, Vec::new());
            for size in (0..).map(|turn| [1, 1400, 3, 1023, 1024, 900, 5000, 1][turn % 8]) {
                let end = bytes.len().min(given + size);
                pieces.push(Bytes::copy_from_slice(&bytes[given..end]));
                given = end;
                let mut target = vec![0; target_size];
                let count = pieces.take(&mut target);
                got.extend_from_slice(&target[..count]);
                assert_eq!(pieces.bytes(), given - got.len());
                if given == bytes.len() {
                    break;
                }
            }
            let mut target = vec![0; pieces.bytes()];
            pieces.take(&mut target);
            got.extend_from_slice(&target);
            assert!(got == bytes && pieces.bytes() == 0, "{target_size}");
        }
    }

    #[test]
    fn many_small_pieces_of_large_packets_are_held_as_one_copy() {
        let mut pieces = Pieces::new(Ahead::new(Account::new(), Kind::ReadAhead));
        let packet = Bytes::from(vec![9; 1452]);
        for _ in 0..10_000 {
            pieces.push(packet.slice(0..1));
        }
        assert!(pieces.large.is_empty() && pieces.small.capacity() < 40_000);
        // Nothing but this test holds the packet now.
        assert!(packet.is_unique());
        assert_eq!(pieces.bytes(), 10_000);
    }
}
