//! How many datagrams wait, on both sides of a connection, and what becomes of one more.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

use common::{TestNode, wait_until};
use espalier_transport::{
    counters::Refused,
    events::{Event, EventSink},
    limits::{DATAGRAM_BUFFER, DATAGRAM_OVERHEAD, MAX_WAITING_DATAGRAM_BYTES},
};
use parking_lot::{Condvar, Mutex};

/// Bytes in front of a body.
const HEADER: usize = 2;

#[test]
fn as_many_as_the_buffer_has_room_for_wait_to_be_sent_and_one_more_is_told_and_takes_no_place() {
    let owner = Arc::new(Owner::default());
    let (alice, bob) = (owner.start(70), TestNode::start(71));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    // With the answer the network thread comes to a stop, and nothing leaves.
    *owner.is_stopped.lock() = true;
    alice.start_ask(link, b"?", Duration::from_secs(10));
    bob.echo_one();
    alice.wait(|event| matches!(event, Event::Answered { .. }).then_some(()));
    let send = |first: u8, bytes: usize| {
        let mut body = vec![7; bytes];
        body[0] = first;
        alice.endpoint.send_datagram(link, 5, &body)
    };
    let bytes = 1000;
    let each = bytes + HEADER + DATAGRAM_OVERHEAD;
    let most = DATAGRAM_BUFFER / each;
    let left = DATAGRAM_BUFFER % each - HEADER - DATAGRAM_OVERHEAD;

    for number in 0..most {
        assert!(send(u8::from(number > 0), bytes), "{number}");
    }
    assert!(!send(2, bytes));
    assert!(!send(2, left + 1));
    assert!(send(2, left));
    assert!(!send(2, 1));

    let counters = alice.endpoint.counters();
    assert_eq!(counters.refused(Refused::DatagramBuffer), 3);
    assert!(
        alice
            .endpoint
            .figures()
            .contains(&("count.datagrams.outbound".to_owned(), most as u64 + 1))
    );
    owner.go_on();
    // The oldest is still the first.
    let first = bob.wait(|event| match event {
        Event::Datagram { body, .. } => Some(body.clone()),
        _ => None,
    });
    assert_eq!((first[0], first.len()), (0, bytes));
}

#[test]
fn as_many_as_may_wait_for_the_owner_are_handed_over_and_one_more_is_counted() {
    let owner = Arc::new(Owner::default());
    let (alice, bob) = (TestNode::start(72), owner.start(73));
    let link = alice.dial(Some(bob.id), bob.address()).unwrap();
    let send = |bytes: usize| assert!(alice.endpoint.send_datagram(link, 5, &vec![7; bytes]));
    let came = || {
        bob.wait(|event| match event {
            Event::Datagram { body, .. } => Some(body.len()),
            _ => None,
        })
    };
    let refused = || bob.endpoint.counters().refused(Refused::DatagramBytes);
    owner
        .waiting_bytes
        .store(MAX_WAITING_DATAGRAM_BYTES - 100, Ordering::Relaxed);

    send(101);
    wait_until("a refusal", || refused() == 1);
    send(100);
    assert_eq!(came(), 100);

    owner.waiting_bytes.store(0, Ordering::Relaxed);
    send(101);
    assert_eq!(came(), 101);
    assert_eq!(refused(), 1);
}

/// Whoever takes a node's events.
#[derive(Default)]
struct Owner {
    waiting_bytes: AtomicUsize,
    /// An answer stops whoever brings it for so long.
    is_stopped: Mutex<bool>,
    goes_on: Condvar,
}

impl Owner {
    fn start(self: &Arc<Self>, seed: u8) -> TestNode {
        let owner = self.clone();
        TestNode::start_through(seed, 0, |events| {
            Arc::new(Sink {
                owner,
                events: Mutex::new(events),
            })
        })
    }

    fn go_on(&self) {
        *self.is_stopped.lock() = false;
        self.goes_on.notify_all();
    }
}

struct Sink {
    owner: Arc<Owner>,
    events: Mutex<Sender<Event>>,
}

impl EventSink for Sink {
    fn push(&self, event: Event) {
        let is_answer = matches!(event, Event::Answered { .. });
        // A test that has ended no longer listens.
        let _ = self.events.lock().send(event);
        let mut is_stopped = self.owner.is_stopped.lock();
        while is_answer && *is_stopped {
            self.owner.goes_on.wait(&mut is_stopped);
        }
    }

    fn waiting_bytes(&self) -> usize {
        self.owner.waiting_bytes.load(Ordering::Relaxed)
    }
}
