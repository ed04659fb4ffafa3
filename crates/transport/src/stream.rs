//! A reliable stream of bytes in both directions, as its owner sees it: reads and writes come from the owner's thread,
//! out of and into two bounded queues. [`crate::pump`] moves between the queues and the network.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use quinn::VarInt;
use tokio::sync::{Notify, futures::Notified};

use crate::{
    backlog::Backlog,
    counters::Direction,
    error::TransportError,
    events::{Event, OperationId, StreamId},
    limits::MAX_STREAM_BACKLOG,
    link::Carrier,
    shared::Shared,
    waiting::Waiting,
    wire::TrafficClass,
};

pub(crate) struct Stream {
    id: StreamId,
    /// For the counters.
    class: TrafficClass,
    shared: Arc<Shared>,
    carrier: Arc<Carrier>,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    /// There is room to read more, or the owner gave up.
    room: Notify,
    /// There is something to write, to end or to give up.
    work: Notify,
}

struct Incoming {
    waiting: Waiting,
    /// The network waits until there is room.
    is_full: bool,
    end: Option<Result<(), TransportError>>,
    owner_waits: bool,
    given_up: Option<VarInt>,
}

struct Outgoing {
    backlog: Backlog,
    owner_waits: bool,
    finish: Option<OperationId>,
    finished: bool,
    end: Option<TransportError>,
    given_up: Option<VarInt>,
}

/// What a read found.
#[derive(Debug, Eq, PartialEq)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet; [`Event::StreamReadable`] tells when to try again.
    Wait,
    /// The peer has ended its side.
    End,
}

/// What is to be done for the write side.
pub(crate) enum Work {
    /// The owner has given up, for this reason.
    GiveUp(VarInt),
    Write(Vec<Bytes>),
    /// All is written, and nothing more comes.
    Finish,
    /// Nothing until the owner does something.
    Wait,
}

/// What the owner asks for.
impl Stream {
    /// `first` are bytes that came with the header.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        carrier: &Arc<Carrier>,
        class: TrafficClass,
        first: BytesMut,
    ) -> Arc<Self> {
        let mut waiting = Waiting::new(carrier.flow.clone());
        if !first.is_empty() {
            shared.counters.bytes(Direction::Inbound, class, first.len());
            waiting.push(first.freeze());
        }
        Arc::new(Self {
            id: shared.number(),
            class,
            shared: shared.clone(),
            carrier: carrier.clone(),
            incoming: Mutex::new(Incoming {
                waiting,
                is_full: false,
                end: None,
                owner_waits: false,
                given_up: None,
            }),
            outgoing: Mutex::new(Outgoing {
                backlog: Backlog::new(carrier.flow.clone()),
                owner_waits: false,
                finish: None,
                finished: false,
                end: None,
                given_up: None,
            }),
            room: Notify::new(),
            work: Notify::new(),
        })
    }

    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    pub(crate) fn class(&self) -> TrafficClass {
        self.class
    }

    pub(crate) fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    /// Copies what is there into `target`.
    pub(crate) fn read(&self, target: &mut [u8]) -> Result<Read, TransportError> {
        let mut incoming = self.incoming.lock();
        let filled = incoming.waiting.read(target);
        if filled > 0 {
            if std::mem::take(&mut incoming.is_full) {
                self.room.notify_one();
            }
            return Ok(Read::Bytes(filled));
        }
        match &incoming.end {
            Some(Ok(())) => Ok(Read::End),
            Some(Err(error)) => Err(error.clone()),
            None => {
                incoming.owner_waits = true;
                Ok(Read::Wait)
            }
        }
    }

    /// Takes `bytes` for sending. True when the owner should wait for [`Event::StreamWritable`] before it
    /// writes more.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<bool, TransportError> {
        let mut outgoing = self.outgoing.lock();
        if let Some(error) = &outgoing.end {
            return Err(error.clone());
        }
        if outgoing.finish.is_some() || outgoing.finished {
            return Err(TransportError::Closed);
        }
        let waiting = outgoing.backlog.bytes();
        if bytes.len() > MAX_STREAM_BACKLOG.saturating_sub(waiting) {
            return Err(TransportError::Limit(format!(
                "{waiting} bytes wait to be written, at most {MAX_STREAM_BACKLOG} may"
            )));
        }
        if !bytes.is_empty() {
            outgoing.backlog.push(Bytes::copy_from_slice(bytes));
            self.work.notify_one();
        }
        outgoing.owner_waits |= outgoing.backlog.is_long();
        Ok(outgoing.owner_waits)
    }

    /// Ends the write side once everything is written; an event tells `operation`'s end.
    pub(crate) fn finish(&self, operation: OperationId) {
        let mut outgoing = self.outgoing.lock();
        let result = match &outgoing.end {
            Some(error) => Err(error.clone()),
            None if outgoing.finished || outgoing.finish.is_some() => Err(TransportError::Closed),
            None => {
                outgoing.finish = Some(operation);
                self.work.notify_one();
                return;
            }
        };
        drop(outgoing);
        self.shared.sink.push(Event::StreamDone {
            operation,
            result: result.map(|()| self.id),
        });
    }

    /// Gives up both directions: what waits is dropped, the peer sees a reset with `code`.
    pub(crate) fn reset(&self, code: VarInt) {
        {
            let mut incoming = self.incoming.lock();
            incoming.given_up = Some(code);
            incoming.waiting.clear();
            incoming.end.get_or_insert(Err(TransportError::Closed));
        }
        self.outgoing.lock().given_up = Some(code);
        self.room.notify_one();
        self.work.notify_one();
    }
}

/// What the network asks for.
impl Stream {
    /// How many bytes more may be read ahead; an error is the owner's reason to give up.
    pub(crate) fn room_to_read(&self) -> Result<usize, VarInt> {
        let mut incoming = self.incoming.lock();
        if let Some(code) = incoming.given_up {
            return Err(code);
        }
        let room = self.carrier.flow.read_ahead_room(incoming.waiting.bytes());
        incoming.is_full = room == 0;
        Ok(room)
    }

    /// Until [`Self::room_to_read`] may say something else.
    pub(crate) fn room_changes(&self) -> Notified<'_> {
        self.room.notified()
    }

    pub(crate) fn arrived(&self, pieces: &mut [Bytes]) {
        let arrived = pieces.iter().map(Bytes::len).sum();
        self.shared
            .counters
            .bytes(Direction::Inbound, self.class, arrived);
        self.carrier.flow.consumed(&self.carrier.connection, arrived);
        let mut incoming = self.incoming.lock();
        if incoming.given_up.is_some() {
            return;
        }
        for piece in pieces {
            incoming.waiting.push(std::mem::take(piece));
        }
        if std::mem::take(&mut incoming.owner_waits) {
            self.shared.sink.push(Event::StreamReadable { stream: self.id });
        }
    }

    /// The first end counts.
    pub(crate) fn end_reading(&self, end: Result<(), TransportError>) {
        let mut incoming = self.incoming.lock();
        incoming.end.get_or_insert(end);
        if std::mem::take(&mut incoming.owner_waits) {
            self.shared.sink.push(Event::StreamReadable { stream: self.id });
        }
    }

    pub(crate) fn next_work(&self) -> Work {
        let mut outgoing = self.outgoing.lock();
        if let Some(code) = outgoing.given_up {
            return Work::GiveUp(code);
        }
        let pieces = outgoing.backlog.take();
        match outgoing.finish {
            _ if !pieces.is_empty() => Work::Write(pieces),
            Some(_) => Work::Finish,
            None => Work::Wait,
        }
    }

    /// Until [`Self::next_work`] may say something else.
    pub(crate) fn work_comes(&self) -> Notified<'_> {
        self.work.notified()
    }

    /// Waits until the owner gives up. What else the owner does must not end a write, which would lose its turn.
    pub(crate) async fn given_up(&self) -> VarInt {
        loop {
            // Not in the condition itself, which would hold the lock.
            let given_up = self.outgoing.lock().given_up;
            if let Some(code) = given_up {
                return code;
            }
            self.work.notified().await;
        }
    }

    pub(crate) fn wrote(&self, count: usize) {
        self.shared.counters.bytes(Direction::Outbound, self.class, count);
        let mut outgoing = self.outgoing.lock();
        outgoing.backlog.wrote(count);
        if outgoing.backlog.is_short() && std::mem::take(&mut outgoing.owner_waits) {
            self.shared.sink.push(Event::StreamWritable { stream: self.id });
        }
    }

    /// None is what the owner asked for. The first end counts.
    pub(crate) fn end_writing(&self, end: Option<TransportError>) {
        let mut outgoing = self.outgoing.lock();
        if std::mem::replace(&mut outgoing.finished, true) {
            return;
        }
        outgoing.backlog.clear();
        if let Some(operation) = outgoing.finish.take() {
            let result = end.clone().map_or(Ok(self.id), Err);
            self.shared.sink.push(Event::StreamDone { operation, result });
        }
        outgoing.end = end;
        if std::mem::take(&mut outgoing.owner_waits) {
            self.shared.sink.push(Event::StreamWritable { stream: self.id });
        }
    }
}
