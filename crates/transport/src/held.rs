//! What a request and its answer keep in memory, counted against the limits of the connection, of the endpoint and
//! of the process.

use std::sync::atomic::Ordering;

use crate::{
    budget::{Budget, Kind, Share},
    counters::Refused,
    flow::Flow,
    limits::{MAX_CONNECTION_REQUEST_BYTES, MAX_WAITING_REQUEST_BYTES},
    shared::Shared,
};

/// Bytes of a request that comes in or waits for its answer.
pub(crate) struct HeldRequest<'a> {
    shared: &'a Shared,
    flow: &'a Flow,
    share: Share,
    /// What `shared` and `flow` count, which is more than the share when that was refused.
    bytes: usize,
    /// Why there was no room, once there was none.
    refused: Option<Refused>,
}

impl<'a> HeldRequest<'a> {
    pub(crate) fn new(shared: &'a Shared, flow: &'a Flow) -> Self {
        Self {
            shared,
            flow,
            share: Share::empty(Budget::of_process(), Kind::Requests),
            bytes: 0,
            refused: None,
        }
    }

    /// Whether there is room for `bytes` more.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let before = self.shared.request_bytes.fetch_add(bytes, Ordering::Relaxed);
        let before_here = self.flow.requests.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > MAX_WAITING_REQUEST_BYTES
            || before_here + bytes > MAX_CONNECTION_REQUEST_BYTES
            || self.flow.held() > self.flow.room()
        {
            self.refused = Some(Refused::RequestBytes);
        } else if !self.share.grow(bytes) {
            self.refused = Some(Refused::Memory);
        }
        self.refused.is_none()
    }

    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }
}

impl Drop for HeldRequest<'_> {
    fn drop(&mut self) {
        self.shared.request_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.flow.requests.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes of an answer that the peer has not acknowledged.
pub(crate) struct UnreadAnswer<'a> {
    flow: &'a Flow,
    share: Share,
}

impl<'a> UnreadAnswer<'a> {
    /// One answer may always wait, however long it is, when nothing else does.
    pub(crate) fn take(flow: &'a Flow, bytes: usize) -> Result<Self, Refused> {
        let mut share = Share::empty(Budget::of_process(), Kind::Answers);
        if !share.grow(bytes) {
            return Err(Refused::Memory);
        }
        let before = flow.held();
        flow.answers.fetch_add(bytes, Ordering::Relaxed);
        let unread = Self { flow, share };
        if before > 0 && before + bytes > flow.room() {
            return Err(Refused::AnswerBytes);
        }
        Ok(unread)
    }

    /// The peer has it.
    pub(crate) fn was_read(self) {
        self.flow.earn(self.share.bytes());
    }
}

impl Drop for UnreadAnswer<'_> {
    fn drop(&mut self) {
        self.flow.answers.fetch_sub(self.share.bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        events::{Event, EventSink},
        limits::{FIRST_HELD_BYTES, Limits, MAX_HELD_BYTES, MAX_REQUEST_BYTES},
    };

    struct Deaf;

    impl EventSink for Deaf {
        fn push(&self, _: Event) {}

        fn waiting_bytes(&self) -> usize {
            0
        }
    }

    #[test]
    fn requests_of_a_connection_and_of_all_have_room_up_to_the_limit_and_no_byte_more() {
        let shared = Shared::new([0; 32], Limits::default(), Arc::new(Deaf));
        let flows: Vec<_> = (0..=MAX_WAITING_REQUEST_BYTES / MAX_CONNECTION_REQUEST_BYTES)
            .map(|_| Flow::new())
            .collect();
        for flow in &flows {
            flow.earn(MAX_HELD_BYTES);
        }
        let [flow, other, flows @ ..] = &flows[..] else {
            panic!("there are more connections than two")
        };
        let take = |flow, bytes| {
            let mut held = HeldRequest::new(&shared, flow);
            held.grow(bytes).then_some(held)
        };
        let most = MAX_CONNECTION_REQUEST_BYTES / MAX_REQUEST_BYTES;
        let mut all: Vec<_> = (0..most)
            .map(|_| take(flow, MAX_REQUEST_BYTES).unwrap())
            .collect();
        let mut late = HeldRequest::new(&shared, flow);
        assert!(!late.grow(1));
        assert_eq!(late.refused(), Some(Refused::RequestBytes));
        drop(late);
        // Others have their own.
        drop(take(other, 1).unwrap());
        assert!(all[0].grow(0));
        all.pop();
        assert!(take(flow, MAX_REQUEST_BYTES).is_some());

        all.push(take(flow, MAX_REQUEST_BYTES).unwrap());
        all.extend(
            flows
                .iter()
                .map(|flow| take(flow, MAX_CONNECTION_REQUEST_BYTES).unwrap()),
        );
        assert!(take(other, 1).is_none());
        all.pop();
        assert!(take(other, 1).is_some());
        all.clear();
        assert_eq!(shared.request_bytes.load(Ordering::Relaxed), 0);
        assert_eq!(flow.held(), 0);
    }

    #[test]
    fn requests_and_unread_answers_share_their_room_up_to_the_limit_and_no_byte_more() {
        let shared = Shared::new([0; 32], Limits::default(), Arc::new(Deaf));
        let flow = Flow::new();
        let mut request = HeldRequest::new(&shared, &flow);
        assert!(request.grow(MAX_REQUEST_BYTES));
        let first = UnreadAnswer::take(&flow, FIRST_HELD_BYTES - MAX_REQUEST_BYTES - 10).unwrap();
        let second = UnreadAnswer::take(&flow, 10).unwrap();
        assert_eq!(UnreadAnswer::take(&flow, 1).err(), Some(Refused::AnswerBytes));
        let mut late = HeldRequest::new(&shared, &flow);
        assert!(!late.grow(1));
        assert_eq!(late.refused(), Some(Refused::RequestBytes));
        drop(late);
        // Whoever reads may have as much more under way.
        second.was_read();
        let third = UnreadAnswer::take(&flow, 20).unwrap();
        assert_eq!(UnreadAnswer::take(&flow, 1).err(), Some(Refused::AnswerBytes));
        drop((first, third, request));
        assert_eq!(flow.held(), 0);
    }

    #[test]
    fn one_answer_may_wait_however_long_it_is_and_reading_ever_so_much_gives_a_bounded_room() {
        let flow = Flow::new();
        let long = UnreadAnswer::take(&flow, 2 * MAX_HELD_BYTES).unwrap();
        assert_eq!(UnreadAnswer::take(&flow, 1).err(), Some(Refused::AnswerBytes));
        drop(long);
        flow.earn(usize::MAX / 2);
        flow.earn(usize::MAX);
        let all = UnreadAnswer::take(&flow, MAX_HELD_BYTES).unwrap();
        assert_eq!(UnreadAnswer::take(&flow, 1).err(), Some(Refused::AnswerBytes));
        drop(all);
    }
}
