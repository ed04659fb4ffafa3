//! What the owner wrote to a stream and quinn has not taken.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    budget::{Budget, Kind, Share},
    flow::Flow,
    limits::STREAM_WRITE_AHEAD,
};

/// Pieces in their order. What waits is counted in the connection and in the process, until quinn has it.
pub(crate) struct Backlog {
    /// Bounded by [`crate::limits::MAX_STREAM_BACKLOG`].
    pieces: Vec<Bytes>,
    /// Bytes in `pieces` and in what was taken out of it.
    bytes: usize,
    flow: Arc<Flow>,
    share: Share,
}

impl Backlog {
    pub(crate) fn new(flow: Arc<Flow>) -> Self {
        Self {
            pieces: Vec::new(),
            bytes: 0,
            flow,
            share: Share::empty(Budget::of_process(), Kind::Answers),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the owner should wait before it writes more.
    pub(crate) fn is_long(&self) -> bool {
        let others_leave = self.flow.leaves_write_ahead() && Budget::of_process().free() > 0;
        self.bytes > STREAM_WRITE_AHEAD || self.bytes > 0 && !others_leave
    }

    /// Whether an owner that was told to wait may go on.
    pub(crate) fn is_short(&self) -> bool {
        self.bytes <= STREAM_WRITE_AHEAD / 2
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        let count = piece.len();
        self.pieces.push(piece);
        self.bytes += count;
        self.flow.add_write_ahead(count);
        self.share.count(count);
    }

    /// All that was not taken yet.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.pieces)
    }

    /// Quinn has `count` bytes of what was taken out.
    pub(crate) fn wrote(&mut self, count: usize) {
        let count = count.min(self.bytes);
        self.bytes -= count;
        self.flow.sub_write_ahead(count);
        self.share.shrink_to(self.bytes);
    }

    pub(crate) fn clear(&mut self) {
        self.pieces = Vec::new();
        self.wrote(self.bytes);
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FIRST_WRITE_AHEAD;

    #[test]
    fn a_stream_has_room_up_to_its_limit_and_no_byte_more() {
        let flow = Arc::new(Flow::new());
        flow.count_written(1 << 30);
        let mut backlog = Backlog::new(flow);
        backlog.push(Bytes::from(vec![7; STREAM_WRITE_AHEAD]));
        assert!(!backlog.is_long());
        backlog.push(Bytes::from_static(&[7]));
        assert!(backlog.is_long() && !backlog.is_short());
        backlog.wrote(STREAM_WRITE_AHEAD / 2);
        assert!(!backlog.is_short());
        backlog.wrote(1);
        assert!(backlog.is_short());
    }

    #[test]
    fn streams_of_a_connection_that_takes_nothing_have_little_together_and_one_piece_each() {
        let flow = Arc::new(Flow::new());
        let mut first = Backlog::new(flow.clone());
        first.push(Bytes::from(vec![7; FIRST_WRITE_AHEAD - 1]));
        assert!(!first.is_long());
        first.push(Bytes::from_static(&[7]));
        assert!(first.is_long());
        let mut second = Backlog::new(flow.clone());
        // Whoever wrote nothing has nothing to wait for.
        assert!(!second.is_long());
        second.push(Bytes::from_static(&[7]));
        assert!(second.is_long());
        // As much again for whoever takes it.
        flow.count_written(FIRST_WRITE_AHEAD);
        assert!(!first.is_long() && !second.is_long());
        assert_eq!(first.take().len(), 2);
        drop(first);
        drop(second);
        assert!(flow.leaves_write_ahead());
    }
}
