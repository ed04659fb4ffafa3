//! Events of endpoints on their way to JavaScript: a queue of one environment, drained into a slab.

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use espalier_transport::{
    endpoint::Endpoint,
    error::TransportError,
    events::{Event, EventSink},
};
use parking_lot::Mutex;

use crate::{
    arguments,
    environment::Environment,
    failure::Failure,
    faults::{self, Place},
    queue,
};

/// Bytes in front of each record: its length, kind, three of zero, endpoint, three numbers.
const RECORD_BYTES: usize = 24;

/// The endpoints of an environment, by number.
#[derive(Default)]
pub(crate) struct Endpoints {
    last: AtomicU32,
    /// Bounded by the ports of the machine.
    open: Mutex<HashMap<u32, Arc<Endpoint>>>,
}

impl Endpoints {
    /// A number that no endpoint has had.
    pub(crate) fn reserve(&self) -> u32 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn insert(&self, number: u32, endpoint: Endpoint) {
        self.open.lock().insert(number, Arc::new(endpoint));
    }

    pub(crate) fn get(&self, number: f64) -> Result<Arc<Endpoint>, Failure> {
        let number = arguments::job(number)?;
        let found = self.open.lock().get(&number).cloned();
        found.ok_or_else(|| Failure::new("CLOSED", "the transport is closed"))
    }

    pub(crate) fn len(&self) -> usize {
        self.open.lock().len()
    }

    pub(crate) fn remove(&self, number: f64) -> napi::Result<()> {
        let number = arguments::job(number)?;
        let removed = self.open.lock().remove(&number);
        if let Some(endpoint) = removed {
            endpoint.close_and_wait();
        }
        Ok(())
    }

    /// Closes all at the same time, and waits for all.
    pub(crate) fn close_all(&self) {
        let all = std::mem::take(&mut *self.open.lock());
        for endpoint in all.values() {
            endpoint.close();
        }
        for endpoint in all.into_values() {
            endpoint.close_and_wait();
        }
    }
}

/// What waits for the JavaScript thread.
#[derive(Default)]
pub(crate) struct Events {
    /// Bounded by what is in flight: operations, streams that peers may open, and datagrams by their bytes.
    waiting: Mutex<VecDeque<(u32, Event)>>,
    bytes: AtomicUsize,
    /// Why an event was lost that nobody has been told of.
    lost: Mutex<Option<Failure>>,
}

impl Events {
    /// Writes the oldest events into `slab` and answers the bytes that they take.
    pub(crate) fn drain_into(&self, slab: &mut [u8]) -> Result<u32, Failure> {
        if let Some(failure) = self.lost.lock().take() {
            return Err(failure);
        }
        let mut waiting = self.waiting.lock();
        let mut filled = 0;
        while let Some((endpoint, event)) = waiting.pop_front() {
            let room = slab.get_mut(filled..).unwrap_or_default();
            let written = catch_unwind(AssertUnwindSafe(|| Record::of(&event).write(endpoint, room)));
            match written {
                Ok(Ok(length)) => {
                    filled += length;
                    self.bytes.fetch_sub(body_bytes(&event), Ordering::Relaxed);
                }
                Ok(Err(length)) => {
                    waiting.push_front((endpoint, event));
                    if filled == 0 {
                        let problem = format_args!("{length} bytes are needed");
                        return Err(Failure::argument("slab", problem));
                    }
                    break;
                }
                // It does not come again. What was written before it counts, so the next call tells.
                Err(payload) => {
                    self.bytes.fetch_sub(body_bytes(&event), Ordering::Relaxed);
                    *self.lost.lock() = Some(Failure::panic(&*payload));
                    break;
                }
            }
        }
        if filled == 0
            && let Some(failure) = self.lost.lock().take()
        {
            return Err(failure);
        }
        u32::try_from(filled).map_err(|_| Failure::argument("slab", "too large"))
    }

    /// Events that wait, and the bytes of their bodies.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.waiting.lock().len(), self.bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn clear(&self) {
        let dropped = std::mem::take(&mut *self.waiting.lock());
        drop(dropped);
    }
}

/// Brings the events of one endpoint into the queue of its environment.
pub(crate) struct Sink {
    environment: Arc<Environment>,
    endpoint: u32,
}

impl Sink {
    pub(crate) fn new(environment: &Arc<Environment>, endpoint: u32) -> Arc<Self> {
        Arc::new(Self {
            environment: environment.clone(),
            endpoint,
        })
    }
}

impl EventSink for Sink {
    fn push(&self, event: Event) {
        if cfg!(feature = "test-hooks") {
            faults::trip(Place::Event(Record::of(&event).kind));
        }
        let events = &self.environment.events;
        // It may be all that an operation ever hears: an event that is lost must be told of too.
        let pushed = catch_unwind(AssertUnwindSafe(|| {
            faults::trip(Place::Sink);
            events.bytes.fetch_add(body_bytes(&event), Ordering::Relaxed);
            events.waiting.lock().push_back((self.endpoint, event));
        }));
        if let Err(payload) = pushed {
            *events.lost.lock() = Some(Failure::panic(&*payload));
        }
        queue::wake_soon(&self.environment);
    }

    fn waiting_bytes(&self) -> usize {
        self.environment.events.bytes.load(Ordering::Relaxed)
    }
}

fn body_bytes(event: &Event) -> usize {
    match event {
        Event::Datagram { body, .. } | Event::Request { body, .. } | Event::EarlyRequest { body, .. } => {
            body.len()
        }
        _ => 0,
    }
}

/// An event as ts/native/transport.ts reads it.
struct Record<'a> {
    kind: u8,
    numbers: [u32; 3],
    head: &'a [u8],
    rest: Rest<'a>,
}

enum Rest<'a> {
    Bytes(&'a [u8]),
    Text(String),
    /// A text, then bytes.
    Joined(String, &'a [u8]),
}

impl<'a> Record<'a> {
    fn of(event: &'a Event) -> Self {
        let plain = |kind, numbers| Record {
            kind,
            numbers,
            head: &[],
            rest: Rest::Bytes(&[]),
        };
        let with = |kind, numbers, body: &'a [u8]| Record {
            kind,
            numbers,
            head: &[],
            rest: Rest::Bytes(body),
        };
        let failed = |kind, numbers, error: &TransportError| Record {
            kind,
            numbers,
            head: &[],
            rest: Rest::Text(format!("{}: {error}", error.code())),
        };
        match event {
            Event::LinkUp {
                link,
                peer,
                remote,
                outbound,
            } => Record {
                kind: 1,
                numbers: [*link, u32::from(*outbound), 0],
                head: peer,
                rest: Rest::Text(remote.to_string()),
            },
            Event::LinkMoved {
                link,
                remote,
                outbound,
            } => Record {
                kind: 13,
                numbers: [*link, u32::from(*outbound), 0],
                head: &[],
                rest: Rest::Text(remote.to_string()),
            },
            Event::LinkClosed { link, reason } => failed(2, [*link, 0, 0], reason),
            Event::Dialled {
                operation,
                result: Ok(link),
            } => plain(3, [*operation, 1, *link]),
            Event::Dialled {
                operation,
                result: Err(error),
            } => failed(3, [*operation, 0, 0], error),
            Event::Answered {
                operation,
                result: Ok(body),
            } => with(4, [*operation, 1, 0], body),
            Event::Answered {
                operation,
                result: Err(error),
            } => failed(4, [*operation, 0, 0], error),
            Event::Request {
                request,
                link,
                protocol,
                body,
            } => with(5, [*request, *link, u32::from(*protocol)], body),
            Event::EarlyRequest {
                request,
                peer,
                remote,
                protocol,
                body,
            } => {
                let remote = remote.to_string();
                let length = u32::try_from(remote.len()).unwrap_or(u32::MAX);
                Record {
                    kind: 14,
                    numbers: [*request, length, u32::from(*protocol)],
                    head: peer,
                    rest: Rest::Joined(remote, body),
                }
            }
            Event::RequestCancelled { request } => plain(6, [*request, 0, 0]),
            Event::Datagram { link, protocol, body } => with(7, [0, *link, u32::from(*protocol)], body),
            Event::StreamDone {
                operation,
                result: Ok(stream),
            } => plain(8, [*operation, 1, *stream]),
            Event::StreamDone {
                operation,
                result: Err(error),
            } => failed(8, [*operation, 0, 0], error),
            Event::StreamOpened {
                stream,
                link,
                protocol,
            } => plain(9, [*stream, *link, u32::from(*protocol)]),
            Event::StreamReadable { stream } => plain(10, [*stream, 0, 0]),
            Event::StreamWritable { stream } => plain(11, [*stream, 0, 0]),
            Event::Closed => plain(12, [0; 3]),
        }
    }

    /// What follows the head, in two parts.
    fn rest(&self) -> (&[u8], &[u8]) {
        match &self.rest {
            Rest::Bytes(bytes) => (bytes, &[]),
            Rest::Text(text) => (text.as_bytes(), &[]),
            Rest::Joined(text, bytes) => (text.as_bytes(), bytes),
        }
    }

    fn payload_bytes(&self) -> usize {
        let (text, bytes) = self.rest();
        self.head.len() + text.len() + bytes.len()
    }

    /// Writes to the start of `room` and answers the length; as an error the one that is needed.
    fn write(&self, endpoint: u32, room: &mut [u8]) -> Result<usize, usize> {
        faults::trip(Place::Conversion);
        let needed = RECORD_BYTES + self.payload_bytes();
        let target = room.get_mut(..needed).ok_or(needed)?;
        let length = u32::try_from(needed).unwrap_or(u32::MAX);
        let (front, payload) = target.split_at_mut(RECORD_BYTES);
        let [first, second, third] = self.numbers;
        let fields = [length, u32::from(self.kind), endpoint, first, second, third];
        for (field, value) in front.chunks_exact_mut(4).zip(fields) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        let (head, rest) = payload.split_at_mut(self.head.len());
        let parts = self.rest();
        let (text, bytes) = rest.split_at_mut(parts.0.len());
        head.copy_from_slice(self.head);
        text.copy_from_slice(parts.0);
        bytes.copy_from_slice(parts.1);
        Ok(needed)
    }
}
