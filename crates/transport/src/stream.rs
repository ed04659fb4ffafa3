//! A reliable stream of bytes in both directions. The owner reads and writes from its own thread, into and
//! out of two bounded queues; two tasks move between the queues and the network.

use std::{pin::pin, sync::Arc, task::Poll};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use quinn::{ReadError, RecvStream, SendStream, VarInt};
use tokio::sync::Notify;

use crate::{
    budget::{self, Budget, Share},
    counters::Direction,
    error::TransportError,
    events::{Event, OperationId, StreamId},
    limits::{MAX_STREAM_BACKLOG, STREAM_WRITE_AHEAD},
    link::{Active, Carrier, Link},
    shared::Shared,
    waiting::Waiting,
    wire::{HEADER_BYTES, Header, Kind, TrafficClass},
};

/// Pieces that are taken from the network at once; a piece is what one packet carried.
const PIECES: usize = 64;
/// About the least that such a piece has when much comes.
const PIECE_BYTES: usize = 1200;

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
    /// The task waits until there is room.
    is_full: bool,
    end: Option<Result<(), TransportError>>,
    owner_waits: bool,
    given_up: Option<VarInt>,
}

struct Outgoing {
    /// Bounded by `MAX_STREAM_BACKLOG`.
    pieces: Vec<Bytes>,
    /// Bytes in `pieces` and in what the task is writing.
    bytes: usize,
    share: Share,
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
        if bytes.len() > MAX_STREAM_BACKLOG - outgoing.bytes.min(MAX_STREAM_BACKLOG) {
            return Err(TransportError::Limit(format!(
                "{} bytes wait to be written, at most {MAX_STREAM_BACKLOG} may",
                outgoing.bytes
            )));
        }
        if !bytes.is_empty() {
            outgoing.pieces.push(Bytes::copy_from_slice(bytes));
            outgoing.bytes += bytes.len();
            outgoing.share.count(bytes.len());
            self.work.notify_one();
        }
        let is_short = outgoing.bytes > 0 && Budget::of_process().free() == 0;
        outgoing.owner_waits |= outgoing.bytes > STREAM_WRITE_AHEAD || is_short;
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
        outgoing.share.shrink_to(0);
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
    carrier
        .write_all(class, &mut send, Bytes::copy_from_slice(&header))
        .await?;
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
    let carrier = active.carrier().clone();
    let mut waiting = Waiting::new(carrier.flow.clone());
    // What both callers set it to.
    let class = TrafficClass::of_priority(send.priority().unwrap_or(0));
    if !first.is_empty() {
        shared.counters.bytes(Direction::Inbound, class, first.len());
        waiting.push(first.freeze());
    }
    let stream = Arc::new(Stream {
        id,
        class,
        shared: shared.clone(),
        carrier,
        incoming: Mutex::new(Incoming {
            waiting,
            is_full: false,
            end: None,
            owner_waits: false,
            given_up: None,
        }),
        outgoing: Mutex::new(Outgoing {
            pieces: Vec::new(),
            bytes: 0,
            share: Share::empty(Budget::of_process(), budget::Kind::Answers),
            owner_waits: false,
            finish: None,
            finished: false,
            end: None,
            given_up: None,
        }),
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

/// The window that a stream which is not read takes from no other, until it ends.
struct Stalled<'a>(&'a Carrier);

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.flow.end_stall(&self.0.connection);
    }
}

async fn read_on(ending: Ending, mut receive: RecvStream) {
    let stream = &ending.stream;
    let carrier = &stream.carrier;
    let mut stalled = None;
    loop {
        let room = {
            let mut incoming = stream.incoming.lock();
            if let Some(code) = incoming.given_up {
                let _ = receive.stop(code);
                return;
            }
            let room = carrier.flow.read_ahead_room(incoming.waiting.bytes());
            incoming.is_full = room == 0;
            room
        };
        if room == 0 {
            if stalled.is_none() && carrier.flow.stall(&carrier.connection) {
                stalled = Some(Stalled(carrier));
            }
            stream.room.notified().await;
            continue;
        }
        let read = tokio::select! {
            read = read_pieces(&mut receive, room, |pieces| stream.arrived(pieces)) => read,
            () = stream.room.notified() => continue,
        };
        match read {
            Ok(Some(_)) => {}
            Ok(None) => return stream.end_reading(Ok(())),
            Err(error) => return stream.end_reading(Err(error.into())),
        }
    }
}

/// Gives what quinn has to `take`. The pieces are no part of the future: each waiting stream would hold them.
async fn read_pieces(
    receive: &mut RecvStream,
    room: usize,
    take: impl Fn(&mut [Bytes]),
) -> Result<Option<usize>, ReadError> {
    let most = room.div_ceil(PIECE_BYTES).min(PIECES);
    std::future::poll_fn(|context| {
        let mut pieces: [Bytes; PIECES] = std::array::from_fn(|_| Bytes::new());
        let polled = pin!(receive.read_chunks(&mut pieces[..most])).poll(context);
        if let Poll::Ready(Ok(Some(count))) = polled {
            take(&mut pieces[..count]);
        }
        polled
    })
    .await
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
                    written = stream.carrier.write(stream.class, &mut send, &mut rest) => written,
                    code = stream.given_up() => {
                        let _ = send.reset(code);
                        return stream.end_writing(Some(TransportError::Closed));
                    }
                };
                if let Err(error) = written {
                    return stream.end_writing(Some(error.into()));
                }
            }
            stream.wrote(count);
        }
    }
}

impl Stream {
    /// Waits until the owner gives up. What else the owner does must not end a write, which would lose its turn.
    async fn given_up(&self) -> VarInt {
        loop {
            // Not in the condition itself, which would hold the lock.
            let given_up = self.outgoing.lock().given_up;
            if let Some(code) = given_up {
                return code;
            }
            self.work.notified().await;
        }
    }

    fn arrived(&self, pieces: &mut [Bytes]) {
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

    fn wrote(&self, count: usize) {
        self.shared.counters.bytes(Direction::Outbound, self.class, count);
        let mut outgoing = self.outgoing.lock();
        outgoing.bytes = outgoing.bytes.saturating_sub(count);
        let left = outgoing.bytes;
        outgoing.share.shrink_to(left);
        if outgoing.bytes <= STREAM_WRITE_AHEAD / 2 && std::mem::take(&mut outgoing.owner_waits) {
            self.shared.sink.push(Event::StreamWritable { stream: self.id });
        }
    }
}
