//! What came in over a stream and waits for its owner to read it.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    budget::{Budget, Kind, Share},
    flow::Flow,
    limits::SMALL_PIECE_BYTES,
};

/// As long as so few bytes wait, a large piece is kept as it came; the owner reads as fast as they come. Above,
/// each is copied: a piece keeps the whole packet train that it came with, and whoever sends may make that much
/// longer than the piece.
const KEPT_AS_THEY_CAME: usize = 256 << 10;

/// Pieces in their order. What waits is counted in the connection and in the process.
pub(crate) struct Waiting {
    /// Bounded by what [`crate::flow::Flow::read_ahead_room`] gives.
    pieces: VecDeque<Bytes>,
    /// Small pieces, gathered; they come after the others.
    small: BytesMut,
    bytes: usize,
    flow: Arc<Flow>,
    share: Share,
}

impl Waiting {
    pub(crate) fn new(flow: Arc<Flow>) -> Self {
        Self {
            pieces: VecDeque::new(),
            small: BytesMut::new(),
            bytes: 0,
            flow,
            share: Share::empty(Budget::of_process(), Kind::ReadAhead),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        let count = piece.len();
        if count < SMALL_PIECE_BYTES || self.bytes > KEPT_AS_THEY_CAME {
            // Gathered, a thousand pieces of a byte take a thousand bytes.
            if self.small.len() + count > self.small.capacity() {
                self.keep_small();
                // As much again as waits: a stream that brings little keeps little.
                let room = self.bytes.min(SMALL_PIECE_BYTES);
                self.small = BytesMut::with_capacity(count.max(room));
            }
            self.small.extend_from_slice(&piece);
        } else {
            self.keep_small();
            self.pieces.push_back(piece);
        }
        self.bytes += count;
        self.flow.add_read_ahead(count);
        self.share.count(count);
    }

    fn keep_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }

    /// Moves what fits into `target`; tells how much that was.
    pub(crate) fn read(&mut self, target: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < target.len() {
            let room = &mut target[filled..];
            if let Some(piece) = self.pieces.front_mut() {
                filled += take(piece, room);
                if piece.is_empty() {
                    self.pieces.pop_front();
                }
            } else if self.small.is_empty() {
                break;
            } else {
                filled += take(&mut self.small, room);
            }
        }
        self.forget(filled);
        if self.bytes == 0 {
            self.small = BytesMut::new();
        }
        filled
    }

    pub(crate) fn clear(&mut self) {
        self.pieces = VecDeque::new();
        self.small = BytesMut::new();
        self.forget(self.bytes);
    }

    fn forget(&mut self, count: usize) {
        self.bytes -= count;
        self.flow.sub_read_ahead(count);
        self.share.shrink_to(self.bytes);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.clear();
    }
}

fn take(from: &mut impl Buf, target: &mut [u8]) -> usize {
    let count = from.remaining().min(target.len());
    from.copy_to_slice(&mut target[..count]);
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_CONNECTION_READ_AHEAD, STREAM_READ_AHEAD, STREAM_READ_AHEAD_FREE};

    #[test]
    fn pieces_of_every_size_come_out_in_their_order() {
        let flow = Arc::new(Flow::new());
        let mut waiting = Waiting::new(flow.clone());
        let bytes: Vec<u8> = (0..400_000_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let sizes = [1, 5000, 3, 4095, 4096, 1, 1, 30_000, 2];
        let mut rest = Bytes::from(bytes.clone());
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            waiting.push(rest.split_to(size.min(rest.len())));
        }
        assert_eq!(waiting.bytes(), bytes.len());
        assert_eq!(flow.read_ahead_room(0), STREAM_READ_AHEAD);

        let mut target = [0; 7001];
        let mut read = Vec::new();
        loop {
            match waiting.read(&mut target) {
                0 => break,
                count => read.extend_from_slice(&target[..count]),
            }
        }
        assert!(read == bytes);
        assert_eq!(waiting.bytes(), 0);
    }

    #[test]
    fn what_is_small_keeps_no_packet_train_and_a_byte_takes_a_byte() {
        let mut waiting = Waiting::new(Arc::new(Flow::new()));
        let train = Bytes::from(vec![7; 64 << 10]);
        for at in 0..10_000 {
            waiting.push(train.slice(at..=at));
        }
        assert!(train.is_unique());
        let kept: usize = waiting.pieces.iter().map(Bytes::len).sum();
        assert!(waiting.pieces.len() <= 16, "{}", waiting.pieces.len());
        assert_eq!(kept + waiting.small.len(), 10_000);

        // A large one is kept as it came, until much waits.
        waiting.push(train.clone());
        assert!(!train.is_unique());
        let mut more = Waiting::new(Arc::new(Flow::new()));
        for _ in 0..5 {
            more.push(Bytes::from(vec![7; 64 << 10]));
        }
        let late = Bytes::from(vec![7; 8192]);
        more.push(late.clone());
        assert!(late.is_unique());
    }

    #[test]
    fn a_stream_and_a_connection_have_room_up_to_the_limit_and_no_byte_more() {
        let flow = Arc::new(Flow::new());
        assert_eq!(flow.read_ahead_room(STREAM_READ_AHEAD - 1), 1);
        assert_eq!(flow.read_ahead_room(STREAM_READ_AHEAD), 0);
        let others: Vec<_> = (0..MAX_CONNECTION_READ_AHEAD / STREAM_READ_AHEAD)
            .map(|_| {
                let mut waiting = Waiting::new(flow.clone());
                waiting.push(Bytes::from(vec![7; STREAM_READ_AHEAD - 1]));
                waiting
            })
            .collect();
        assert_eq!(flow.read_ahead_room(STREAM_READ_AHEAD - 1), 1);
        let mut last = Waiting::new(flow.clone());
        last.push(Bytes::from(vec![
            7;
            MAX_CONNECTION_READ_AHEAD / STREAM_READ_AHEAD
        ]));
        assert_eq!(flow.read_ahead_room(STREAM_READ_AHEAD - 1), 0);
        assert_eq!(flow.read_ahead_room(STREAM_READ_AHEAD_FREE - 1), 1);
        assert_eq!(flow.read_ahead_room(STREAM_READ_AHEAD_FREE), 0);
        // Given back by whoever reads, or gives up.
        assert_eq!(last.read(&mut [0]), 1);
        assert_eq!(flow.read_ahead_room(STREAM_READ_AHEAD - 1), 1);
        drop((others, last));
        flow.add_read_ahead(MAX_CONNECTION_READ_AHEAD - 1);
        assert_eq!(flow.read_ahead_room(0), STREAM_READ_AHEAD);
    }
}
