//! The two tasks of a stream: they move bytes between the queues of its owner and the network.

use std::{pin::pin, sync::Arc, task::Poll};

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, StoppedError};

use crate::{
    error::TransportError,
    events::StreamId,
    link::{Active, Carrier, Link},
    shared::Shared,
    stream::{Stream, Work},
    wire::{HEADER_BYTES, Header, Kind, TrafficClass},
};

/// Pieces that are taken from the network at once; a piece is what one packet carried.
const PIECES: usize = 64;
/// About the least that such a piece has when much comes.
const PIECE_BYTES: usize = 1200;

/// Opens a stream over `link` and says what it is for.
pub(crate) async fn open(
    shared: Arc<Shared>,
    link: Arc<Link>,
    class: TrafficClass,
    protocol: u16,
) -> Result<StreamId, TransportError> {
    let carrier = link.carrier()?;
    let opened = open_over(&shared, &carrier, class, protocol).await;
    opened.map_err(|error| carrier.explain(error))
}

async fn open_over(
    shared: &Arc<Shared>,
    carrier: &Arc<Carrier>,
    class: TrafficClass,
    protocol: u16,
) -> Result<StreamId, TransportError> {
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
    Ok(start(shared, active, send, receive, BytesMut::new()))
}

/// Starts the tasks of a stream; `first` are bytes that were read already.
pub(crate) fn start(
    shared: &Arc<Shared>,
    active: Active,
    send: SendStream,
    receive: RecvStream,
    first: BytesMut,
) -> StreamId {
    // What both callers set it to.
    let class = TrafficClass::of_priority(send.priority().unwrap_or(0));
    let stream = Stream::new(shared, active.carrier(), class, first);
    let id = stream.id();
    shared.streams.lock().insert(id, stream.clone());
    let active = Arc::new(active);
    let ending = |direction| Ending {
        stream: stream.clone(),
        _active: active.clone(),
        direction,
    };
    tokio::spawn(read_on(ending(Direction::Reading), receive));
    tokio::spawn(write_on(ending(Direction::Writing), send));
    id
}

enum Direction {
    Reading,
    Writing,
}

/// Tells the owner that a direction has ended, also when its task panics or is dropped.
struct Ending {
    stream: Arc<Stream>,
    /// Held so that the connection is not closed as superfluous.
    _active: Arc<Active>,
    direction: Direction,
}

impl Drop for Ending {
    fn drop(&mut self) {
        match self.direction {
            Direction::Reading => self.stream.end_reading(Err(TransportError::Closed)),
            Direction::Writing => self.stream.end_writing(Some(TransportError::Closed)),
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
    let carrier = stream.carrier();
    let mut stalled = None;
    loop {
        let room = match stream.room_to_read() {
            Ok(room) => room,
            Err(code) => {
                let _ = receive.stop(code);
                return;
            }
        };
        if room == 0 {
            if stalled.is_none() && carrier.flow.stall(&carrier.connection) {
                stalled = Some(Stalled(carrier));
            }
            stream.room_changes().await;
            continue;
        }
        let read = tokio::select! {
            read = read_pieces(&mut receive, room, |pieces| stream.arrived(pieces)) => read,
            () = stream.room_changes() => continue,
        };
        match read {
            Ok(Some(_)) => {}
            Ok(None) => return stream.end_reading(Ok(())),
            Err(error) => return stream.end_reading(Err(carrier.explain(error.into()))),
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
    let end = loop {
        match stream.next_work() {
            Work::GiveUp(code) => {
                let _ = send.reset(code);
                break Some(TransportError::Closed);
            }
            Work::Finish => break finish(stream.carrier(), &mut send),
            Work::Wait => tokio::select! {
                () = stream.work_comes() => {}
                code = &mut stopped => break Some(why_stopped(code)),
            },
            Work::Write(pieces) => {
                // Boxed: it is large, and every stream that does not write would hold room for it.
                if let Err(end) = Box::pin(write(stream, &mut send, pieces)).await {
                    break Some(end);
                }
            }
        }
    };
    stream.end_writing(end.map(|end| stream.carrier().explain(end)));
}

async fn write(stream: &Stream, send: &mut SendStream, pieces: Vec<Bytes>) -> Result<(), TransportError> {
    for mut rest in pieces {
        let count = rest.len();
        while !rest.is_empty() {
            tokio::select! {
                written = stream.carrier().write(stream.class(), send, &mut rest) => written?,
                code = stream.given_up() => {
                    let _ = send.reset(code);
                    return Err(TransportError::Closed);
                }
            };
        }
        stream.wrote(count);
    }
    Ok(())
}

/// Why it came to nothing, if it did.
fn finish(carrier: &Carrier, send: &mut SendStream) -> Option<TransportError> {
    // quinn says nothing of it.
    if let Some(reason) = carrier.connection.close_reason() {
        return Some(reason.into());
    }
    send.finish().err().map(|_| TransportError::Closed)
}

fn why_stopped(stopped: Result<Option<quinn::VarInt>, StoppedError>) -> TransportError {
    match stopped {
        Ok(Some(code)) => TransportError::Reset(code.into_inner()),
        Err(StoppedError::ConnectionLost(error)) => error.into(),
        Ok(None) | Err(StoppedError::ZeroRttRejected) => TransportError::Closed,
    }
}
