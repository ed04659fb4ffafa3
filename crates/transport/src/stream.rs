//! A reliable stream of bytes in both directions. The owner reads and writes from its own thread, into and
//! out of two bounded queues; two tasks move between the queues and the network.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use quinn::{RecvStream, SendStream, VarInt};
use tokio::sync::Notify;

use crate::{
    counters::Direction,
    error::TransportError,
    events::{Event, OperationId, StreamId},
    limits::{MAX_STREAM_BACKLOG, STREAM_READ_AHEAD, STREAM_WRITE_AHEAD},
    link::{Active, Link},
    shared::Shared,
    wire::{HEADER_BYTES, Header, Kind, TrafficClass},
};

/// Pieces that are taken from the network at once; a piece is what one packet carried.
const PIECES: usize = 64;

pub(crate) struct Stream {
    id: StreamId,
    /// For the counters.
    class: TrafficClass,
    shared: Arc<Shared>,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    /// There is room to read more, or the owner gave up.
    room: Notify,
    /// There is something to write, to end or to give up.
    work: Notify,
}

#[derive(Default)]
struct Incoming {
    /// Bounded by `STREAM_READ_AHEAD` and one batch of pieces.
    pieces: VecDeque<Bytes>,
    bytes: usize,
    end: Option<Result<(), TransportError>>,
    owner_waits: bool,
    given_up: Option<VarInt>,
}

#[derive(Default)]
struct Outgoing {
    /// Bounded by `MAX_STREAM_BACKLOG`.
    pieces: Vec<Bytes>,
    /// Bytes in `pieces` and in what the task is writing.
    bytes: usize,
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

impl Stream {
    /// Copies what is there into `target`.
    pub(crate) fn read(&self, target: &mut [u8]) -> Result<Read, TransportError> {
        let mut incoming = self.incoming.lock();
        let mut filled = 0;
        while filled < target.len() {
            let Some(piece) = incoming.pieces.front_mut() else {
                break;
            };
            let count = piece.len().min(target.len() - filled);
            target[filled..filled + count].copy_from_slice(&piece[..count]);
            filled += count;
            if count == piece.len() {
                incoming.pieces.pop_front();
            } else {
                let _ = piece.split_to(count);
            }
        }
        if filled > 0 {
            let was_full = incoming.bytes >= STREAM_READ_AHEAD;
            incoming.bytes -= filled;
            if was_full && incoming.bytes < STREAM_READ_AHEAD {
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
        if bytes.len() > MAX_STREAM_BACKLOG - outgoing.bytes.min(MAX_STREAM_BACKLOG) {
            return Err(TransportError::Limit(format!(
                "{} bytes wait to be written, at most {MAX_STREAM_BACKLOG} may",
                outgoing.bytes
            )));
        }
        if !bytes.is_empty() {
            outgoing.pieces.push(Bytes::copy_from_slice(bytes));
            outgoing.bytes += bytes.len();
            self.work.notify_one();
        }
        outgoing.owner_waits |= outgoing.bytes > STREAM_WRITE_AHEAD;
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
            incoming.pieces.clear();
            incoming.bytes = 0;
            incoming.end.get_or_insert(Err(TransportError::Closed));
        }
        self.outgoing.lock().given_up = Some(code);
        self.room.notify_one();
        self.work.notify_one();
    }

    fn end_reading(&self, end: Result<(), TransportError>) {
        let mut incoming = self.incoming.lock();
        incoming.end.get_or_insert(end);
        if std::mem::take(&mut incoming.owner_waits) {
            self.shared.sink.push(Event::StreamReadable { stream: self.id });
        }
    }

    fn end_writing(&self, end: Option<TransportError>) {
        let mut outgoing = self.outgoing.lock();
        outgoing.pieces = Vec::new();
        outgoing.bytes = 0;
        outgoing.finished = true;
        if let Some(operation) = outgoing.finish.take() {
            let result = end.clone().map_or(Ok(self.id), Err);
            self.shared.sink.push(Event::StreamDone { operation, result });
        }
        if outgoing.end.is_none() {
            outgoing.end = end;
        }
        if std::mem::take(&mut outgoing.owner_waits) {
            self.shared.sink.push(Event::StreamWritable { stream: self.id });
        }
    }
}

/// Opens a stream over `link` and says what it is for.
pub(crate) async fn open(
    shared: Arc<Shared>,
    link: Arc<Link>,
    class: TrafficClass,
    protocol: u16,
) -> Result<StreamId, TransportError> {
    let carrier = link.carrier()?;
    let active = carrier.enter();
    let (mut send, receive) = carrier.connection.open_bi().await?;
    send.set_priority(class.priority())
        .map_err(|_| TransportError::Closed)?;
    let header: [u8; HEADER_BYTES] = Header {
        kind: Kind::Stream,
        class,
        protocol,
    }
    .encode();
    send.write_all(&header).await?;
    Ok(start(&shared, active, send, receive, BytesMut::new()))
}

/// Starts the tasks of a stream; `first` are bytes that were read already.
pub(crate) fn start(
    shared: &Arc<Shared>,
    active: Active,
    send: SendStream,
    receive: RecvStream,
    first: BytesMut,
) -> StreamId {
    let id = shared.number();
    let mut incoming = Incoming::default();
    // What both callers set it to.
    let class = TrafficClass::of_priority(send.priority().unwrap_or(0));
    if !first.is_empty() {
        shared.counters.bytes(Direction::Inbound, class, first.len());
        incoming.bytes = first.len();
        incoming.pieces.push_back(first.freeze());
    }
    let stream = Arc::new(Stream {
        id,
        class,
        shared: shared.clone(),
        incoming: Mutex::new(incoming),
        outgoing: Mutex::default(),
        room: Notify::new(),
        work: Notify::new(),
    });
    shared.streams.lock().insert(id, stream.clone());
    let active = Arc::new(active);
    let reading = Ending {
        stream: stream.clone(),
        active: active.clone(),
        end: End::Reading,
    };
    tokio::spawn(read_on(reading, receive));
    tokio::spawn(write_on(
        Ending {
            stream,
            active,
            end: End::Writing,
        },
        send,
    ));
    id
}

enum End {
    Reading,
    Writing,
}

/// Tells the owner that a direction has ended, also when its task panics or is dropped.
struct Ending {
    stream: Arc<Stream>,
    #[expect(
        dead_code,
        reason = "held so that the connection is not closed as superfluous"
    )]
    active: Arc<Active>,
    end: End,
}

impl Drop for Ending {
    fn drop(&mut self) {
        match self.end {
            End::Reading => self.stream.end_reading(Err(TransportError::Closed)),
            End::Writing => {
                let finished = self.stream.outgoing.lock().finished;
                if !finished {
                    self.stream.end_writing(Some(TransportError::Closed));
                }
            }
        }
    }
}

async fn read_on(ending: Ending, mut receive: RecvStream) {
    let stream = &ending.stream;
    let mut pieces: [Bytes; PIECES] = std::array::from_fn(|_| Bytes::new());
    loop {
        let room = {
            let incoming = stream.incoming.lock();
            if let Some(code) = incoming.given_up {
                let _ = receive.stop(code);
                return;
            }
            incoming.bytes < STREAM_READ_AHEAD
        };
        if !room {
            stream.room.notified().await;
            continue;
        }
        let read = tokio::select! {
            read = receive.read_chunks(&mut pieces) => read,
            () = stream.room.notified() => continue,
        };
        match read {
            Ok(Some(count)) => {
                let arrived = pieces[..count].iter().map(Bytes::len).sum();
                stream
                    .shared
                    .counters
                    .bytes(Direction::Inbound, stream.class, arrived);
                let mut incoming = stream.incoming.lock();
                if incoming.given_up.is_some() {
                    continue;
                }
                for piece in &mut pieces[..count] {
                    incoming.bytes += piece.len();
                    incoming.pieces.push_back(std::mem::take(piece));
                }
                if std::mem::take(&mut incoming.owner_waits) {
                    stream
                        .shared
                        .sink
                        .push(Event::StreamReadable { stream: stream.id });
                }
            }
            Ok(None) => return stream.end_reading(Ok(())),
            Err(error) => return stream.end_reading(Err(error.into())),
        }
    }
}

async fn write_on(ending: Ending, mut send: SendStream) {
    let stream = &ending.stream;
    let stopped = send.stopped();
    tokio::pin!(stopped);
    loop {
        let (mut pieces, finish) = {
            let mut outgoing = stream.outgoing.lock();
            if let Some(code) = outgoing.given_up {
                drop(outgoing);
                let _ = send.reset(code);
                return stream.end_writing(Some(TransportError::Closed));
            }
            (std::mem::take(&mut outgoing.pieces), outgoing.finish.is_some())
        };
        if pieces.is_empty() {
            if finish {
                let ended = send.finish().err().map(|_| TransportError::Closed);
                return stream.end_writing(ended);
            }
            tokio::select! {
                () = stream.work.notified() => continue,
                code = &mut stopped => {
                    let error = match code {
                        Ok(Some(code)) => TransportError::Reset(code.into_inner()),
                        Err(quinn::StoppedError::ConnectionLost(error)) => error.into(),
                        Ok(None) | Err(quinn::StoppedError::ZeroRttRejected) => TransportError::Closed,
                    };
                    return stream.end_writing(Some(error));
                }
            }
        }
        for piece in &mut pieces {
            let count = piece.len();
            let mut rest = std::mem::take(piece);
            while !rest.is_empty() {
                let written = tokio::select! {
                    written = send.write(&rest) => written,
                    () = stream.work.notified() => {
                        // Not in the condition itself, which would hold the lock that ending takes.
                        let given_up = stream.outgoing.lock().given_up;
                        if let Some(code) = given_up {
                            let _ = send.reset(code);
                            return stream.end_writing(Some(TransportError::Closed));
                        }
                        continue;
                    }
                };
                match written {
                    Ok(written) => {
                        let _ = rest.split_to(written);
                    }
                    Err(error) => return stream.end_writing(Some(error.into())),
                }
            }
            stream.wrote(count);
        }
    }
}

impl Stream {
    fn wrote(&self, count: usize) {
        self.shared.counters.bytes(Direction::Outbound, self.class, count);
        let mut outgoing = self.outgoing.lock();
        outgoing.bytes = outgoing.bytes.saturating_sub(count);
        if outgoing.bytes <= STREAM_WRITE_AHEAD / 2 && std::mem::take(&mut outgoing.owner_waits) {
            self.shared.sink.push(Event::StreamWritable { stream: self.id });
        }
    }
}
