//! One small message each way, on a stream of its own.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    counters::Refused,
    error::TransportError,
    events::Event,
    limits::{MAX_REQUEST_BYTES, MAX_WAITING_REQUEST_BYTES, REQUEST_BODY_TIME, STREAM_HEADER_TIME},
    link::{Active, Link},
    shared::Shared,
    stream,
    wire::{self, HEADER_BYTES, Header, Kind, Refusal},
};

/// Why a stream was given up: nobody waits for it any more.
pub(crate) const GIVEN_UP: VarInt = VarInt::from_u32(0);

/// Asks over `link` and waits for the answer. `message` begins with its header.
pub(crate) async fn ask(
    link: Arc<Link>,
    message: Bytes,
    priority: i32,
    max_response_bytes: usize,
    time: Duration,
) -> Result<Bytes, TransportError> {
    timeout(time, ask_in_time(&link, message, priority, max_response_bytes))
        .await
        .unwrap_or(Err(TransportError::Timeout))
}

async fn ask_in_time(
    link: &Link,
    message: Bytes,
    priority: i32,
    max_response_bytes: usize,
) -> Result<Bytes, TransportError> {
    let carrier = link.carrier()?;
    let _active = carrier.enter();
    let (send, mut receive) = carrier.connection.open_bi().await?;
    let mut send = Unfinished(Some(send));
    send.stream()?
        .set_priority(priority)
        .map_err(|_| TransportError::Closed)?;
    match send.stream()?.write_chunk(message).await {
        // The peer answers without reading on; its answer says why.
        Ok(()) | Err(WriteError::Stopped(_)) => send.finish(),
        Err(error) => return Err(error.into()),
    }
    let answer = read_to_end(
        &mut receive,
        BytesMut::new(),
        wire::answer_limit(max_response_bytes),
    )
    .await?;
    let too_long = || TransportError::Limit(format!("the answer has more than {max_response_bytes} bytes"));
    let body = wire::decode_answer(answer.ok_or_else(too_long)?)?;
    if body.len() > max_response_bytes {
        Err(too_long())
    } else {
        Ok(body)
    }
}

/// Reads the header of a stream that a peer opened and does what it says.
pub(crate) async fn serve_stream(
    shared: Arc<Shared>,
    link: Arc<Link>,
    active: Active,
    send: SendStream,
    mut receive: RecvStream,
) {
    let started = timeout(STREAM_HEADER_TIME, read_header(&mut receive)).await;
    let Ok(Ok((header, rest))) = started else {
        if let Ok(Err(TransportError::Protocol(_))) = started {
            shared.counters.refuse(Refused::Malformed);
        }
        let mut send = Unfinished(Some(send));
        let _ = receive.stop(GIVEN_UP);
        send.reset();
        return;
    };
    let _ = send.set_priority(header.class.priority());
    match header.kind {
        Kind::Request => serve_request(&shared, &link, header.protocol, send, receive, rest).await,
        Kind::Stream => {
            let stream = stream::start(&shared, active, send, receive, rest);
            shared.sink.push(Event::StreamOpened {
                stream,
                link: link.id,
                protocol: header.protocol,
            });
        }
    }
}

async fn serve_request(
    shared: &Arc<Shared>,
    link: &Link,
    protocol: u16,
    send: SendStream,
    mut receive: RecvStream,
    rest: BytesMut,
) {
    let stopped = send.stopped();
    let mut send = Unfinished(Some(send));
    let refuse = |code: &str, message: String| {
        Err(Refusal {
            code: code.to_owned(),
            message,
        })
    };
    let body = timeout(
        REQUEST_BODY_TIME,
        read_to_end(&mut receive, rest, MAX_REQUEST_BYTES),
    )
    .await;
    let answer = match body {
        Ok(Ok(Some(body))) => {
            let Some(_held) = HeldBytes::take(shared, body.len()) else {
                shared.counters.refuse(Refused::RequestBytes);
                let text = "too many requests wait for an answer".to_owned();
                write_answer(&mut send, &refuse("RATE_LIMITED", text)).await;
                return;
            };
            let request = shared.number();
            let (sender, answer) = oneshot::channel();
            shared.requests.lock().insert(request, sender);
            shared.sink.push(Event::Request {
                request,
                link: link.id,
                protocol,
                body,
            });
            tokio::select! {
                answer = answer => match answer {
                    Ok(answer) => answer,
                    Err(_) => refuse("PEER_REFUSED", "the node is closing".to_owned()),
                },
                _ = stopped => {
                    if shared.requests.lock().remove(&request).is_some() {
                        shared.sink.push(Event::RequestCancelled { request });
                    }
                    return;
                }
            }
        }
        Ok(Ok(None)) => {
            let _ = receive.stop(GIVEN_UP);
            refuse(
                "LIMIT_EXCEEDED",
                format!("a request may have {MAX_REQUEST_BYTES} bytes"),
            )
        }
        // The caller gave up, the connection is lost, or the body never ends.
        _ => return,
    };
    write_answer(&mut send, &answer).await;
}

async fn write_answer(send: &mut Unfinished, answer: &Result<Bytes, Refusal>) {
    let Ok(stream) = send.stream() else { return };
    if stream.write_chunk(wire::encode_answer(answer)).await.is_ok() {
        send.finish();
    }
}

async fn read_header(receive: &mut RecvStream) -> Result<(Header, BytesMut), TransportError> {
    let mut bytes = BytesMut::new();
    while bytes.len() < HEADER_BYTES {
        match receive.read_chunk(MAX_REQUEST_BYTES, true).await? {
            // The usual case: the whole message is one piece, and is not copied.
            Some(chunk) if bytes.is_empty() => {
                bytes = chunk
                    .bytes
                    .try_into_mut()
                    .unwrap_or_else(|bytes| BytesMut::from(&bytes[..]));
            }
            Some(chunk) => bytes.extend_from_slice(&chunk.bytes),
            None => return Err(TransportError::Protocol("a stream ended before its header")),
        }
    }
    let header = bytes.split_to(HEADER_BYTES);
    let header = Header::decode([header[0], header[1], header[2], header[3]])?;
    Ok((header, bytes))
}

/// Everything up to the end, after what has been read; nothing when there is more than `limit`.
async fn read_to_end(
    receive: &mut RecvStream,
    mut bytes: BytesMut,
    limit: usize,
) -> Result<Option<Bytes>, ReadError> {
    if bytes.len() > limit {
        return Ok(None);
    }
    loop {
        let Some(chunk) = receive.read_chunk(limit + 1 - bytes.len(), true).await? else {
            return Ok(Some(bytes.freeze()));
        };
        if bytes.is_empty() {
            bytes = chunk
                .bytes
                .try_into_mut()
                .unwrap_or_else(|bytes| BytesMut::from(&bytes[..]));
        } else {
            bytes.extend_from_slice(&chunk.bytes);
        }
        if bytes.len() > limit {
            return Ok(None);
        }
    }
}

/// A sending side that is reset unless it was finished: a half-sent message must not look whole.
struct Unfinished(Option<SendStream>);

impl Unfinished {
    fn stream(&mut self) -> Result<&mut SendStream, TransportError> {
        self.0.as_mut().ok_or(TransportError::Closed)
    }

    fn finish(&mut self) {
        if let Some(mut stream) = self.0.take() {
            // It fails only when the peer has stopped reading, and then there is nothing to finish.
            let _ = stream.finish();
        }
    }

    fn reset(&mut self) {
        if let Some(mut stream) = self.0.take() {
            let _ = stream.reset(GIVEN_UP);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.reset();
    }
}

/// Bytes of a request that waits for its answer, counted against the limit of the endpoint.
struct HeldBytes<'a> {
    shared: &'a Shared,
    bytes: usize,
}

impl<'a> HeldBytes<'a> {
    fn take(shared: &'a Shared, bytes: usize) -> Option<Self> {
        let before = shared.request_bytes.fetch_add(bytes, Ordering::Relaxed);
        // Given back by drop in either case.
        let held = Self { shared, bytes };
        (before + bytes <= MAX_WAITING_REQUEST_BYTES).then_some(held)
    }
}

impl Drop for HeldBytes<'_> {
    fn drop(&mut self) {
        self.shared.request_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
