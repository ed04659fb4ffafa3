//! What the parts of one endpoint share.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use espalier_core::identity::NODE_ID_BYTES;
use parking_lot::Mutex;
use tokio::{sync::oneshot, task::AbortHandle};

use crate::{
    counters::Counters,
    error::TransportError,
    events::{Event, EventSink, OperationId, RequestId, StreamId},
    limits::Limits,
    link::Links,
    places::Places,
    stream::Stream,
    wire::Refusal,
};

/// What the owner says to a request of a peer.
pub(crate) type Answer = Result<Bytes, Refusal>;

pub(crate) struct Shared {
    pub(crate) local_id: [u8; NODE_ID_BYTES],
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) links: Mutex<Links>,
    /// Bounded by the streams that peers may open (256 a connection) and those that the owner opens.
    pub(crate) streams: Mutex<HashMap<StreamId, Arc<Stream>>>,
    /// Bounded by the streams that peers may open.
    pub(crate) requests: Mutex<HashMap<RequestId, oneshot::Sender<Answer>>>,
    /// Bounded by what the owner asks for at one time.
    pub(crate) operations: Mutex<HashMap<OperationId, AbortHandle>>,
    /// Bytes in the bodies of all requests that wait for an answer.
    pub(crate) request_bytes: AtomicUsize,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    /// Of inbound handshakes under way.
    pub(crate) places: Arc<Places>,
    pub(crate) closing: AtomicBool,
    next_number: AtomicU32,
}

impl Shared {
    pub(crate) fn new(local_id: [u8; NODE_ID_BYTES], limits: Limits, sink: Arc<dyn EventSink>) -> Self {
        Self {
            local_id,
            limits,
            sink,
            links: Mutex::default(),
            streams: Mutex::default(),
            requests: Mutex::default(),
            operations: Mutex::default(),
            request_bytes: AtomicUsize::new(0),
            counters: Arc::default(),
            places: Arc::default(),
            closing: AtomicBool::new(false),
            next_number: AtomicU32::new(1),
        }
    }

    /// A number that nothing alive has: four billion may pass before one comes again.
    pub(crate) fn number(&self) -> u32 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs `work` as the operation of its name. Whatever happens to it, exactly one event tells its end:
    /// also when it panics, is cancelled, or the endpoint closes.
    pub(crate) fn run<T, F>(self: &Arc<Self>, operation: OperationId, outcome: Outcome<T>, work: F)
    where
        T: Send + 'static,
        F: Future<Output = Result<T, TransportError>> + Send + 'static,
    {
        let ending = Ending {
            shared: self.clone(),
            operation,
            outcome,
            result: None,
        };
        let task = tokio::spawn(async move {
            // The whole of it moves in, or its drop would run too early.
            let mut ending = ending;
            ending.result = Some(work.await);
        });
        // The task can't have run yet: it shares this thread.
        self.operations.lock().insert(operation, task.abort_handle());
    }
}

/// How the result of an operation becomes an event.
pub(crate) type Outcome<T> = fn(OperationId, Result<T, TransportError>) -> Event;

struct Ending<T> {
    shared: Arc<Shared>,
    operation: OperationId,
    outcome: Outcome<T>,
    result: Option<Result<T, TransportError>>,
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| {
            Err(if std::thread::panicking() {
                TransportError::Internal("a task of the transport panicked".to_owned())
            } else if self.shared.closing.load(Ordering::Relaxed) {
                TransportError::Closed
            } else {
                TransportError::Aborted
            })
        });
        self.shared.operations.lock().remove(&self.operation);
        self.shared.sink.push((self.outcome)(self.operation, result));
    }
}
