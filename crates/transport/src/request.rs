//! One small message each way, on a stream of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use bytes::{Bytes, BytesMut};
use espalier_core::identity::NODE_ID_BYTES;
use quinn::{Connection, ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    budget::{self, Budget, Share},
    counters::{Direction, Refused},
    dial::Dialling,
    endpoint::Question,
    error::TransportError,
    events::{Event, LinkId, RequestId},
    handshake,
    limits::{MAX_REQUEST_BYTES, MAX_WAITING_REQUEST_BYTES},
    link::{Active, Link},
    shared::Shared,
    stream,
    wire::{self, HEADER_BYTES, Header, Kind, Refusal},
};

/// Why a stream was given up: nobody waits for it any more.
pub(crate) const GIVEN_UP: VarInt = VarInt::from_u32(0);

/// Whom to ask.
pub(crate) enum Target {
    /// A peer that is connected.
    Link(Arc<Link>),
    /// A peer that is being dialled.
    Dial(watch::Receiver<Dialling>),
}

/// Asks and waits for the answer.
pub(crate) async fn ask(
    shared: Arc<Shared>,
    target: Target,
    question: Question,
) -> Result<Bytes, TransportError> {
    let time = question.time;
    let asked = async {
        let query = Query::of(question)?;
        let class = query.header.class;
        let body_bytes = query.message.len() - HEADER_BYTES;
        shared.counters.bytes(Direction::Outbound, class, body_bytes);
        let answer = match target {
            Target::Link(link) => query.ask_link(&link).await,
            Target::Dial(dialling) => query.ask_dialled(&shared, dialling).await,
        }?;
        shared.counters.bytes(Direction::Inbound, class, answer.len());
        Ok(answer)
    };
    timeout(time, asked).await.unwrap_or(Err(TransportError::Timeout))
}

/// A question that has been checked.
struct Query {
    message: Bytes,
    header: Header,
    max_response_bytes: usize,
}

impl Query {
    fn of(question: Question) -> Result<Self, TransportError> {
        let (header, body) = question
            .message
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(TransportError::Protocol("no header"))?;
        let header = Header::decode(*header)?;
        if body.len() > MAX_REQUEST_BYTES {
            return Err(TransportError::Limit(format!(
                "{} bytes were given, a request may have {MAX_REQUEST_BYTES}",
                body.len()
            )));
        }
        Ok(Self {
            header,
            message: question.message,
            max_response_bytes: question.max_response_bytes,
        })
    }

    async fn ask_link(&self, link: &Link) -> Result<Bytes, TransportError> {
        let carrier = link.carrier()?;
        let _active = carrier.enter();
        let answer = self.ask_over(&carrier.connection).await;
        answer.map_err(|error| carrier.explain(error))
    }

    /// Asks over the connection that a dial is making: early when the dial resumes a session and the question
    /// may be asked twice, else as soon as the handshake is done.
    async fn ask_dialled(
        &self,
        shared: &Shared,
        mut dialling: watch::Receiver<Dialling>,
    ) -> Result<Bytes, TransportError> {
        let mut may_be_early = self.header.kind == Kind::IdempotentRequest;
        loop {
            let state = dialling.borrow_and_update().clone();
            match state {
                Dialling::Early(connection) if may_be_early => {
                    may_be_early = false;
                    match self.ask_over(&connection).await {
                        // Not accepted early, or another attempt of the dial won: the link will do.
                        Err(TransportError::Closed | TransportError::Lost(_) | TransportError::Reset(_)) => {}
                        answer => return answer,
                    }
                }
                Dialling::Done(result) => {
                    let link = shared.links.lock().get(result?);
                    let link =
                        link.ok_or_else(|| TransportError::Lost("no connection is left".to_owned()))?;
                    return self.ask_link(&link).await;
                }
                // An error means that the dial was given up.
                Dialling::Early(_) | Dialling::Started => {
                    dialling.changed().await.map_err(|_| TransportError::Aborted)?;
                }
            }
        }
    }

    async fn ask_over(&self, connection: &Connection) -> Result<Bytes, TransportError> {
        let (send, mut receive) = connection.open_bi().await?;
        let mut send = Unfinished(Some(send));
        send.stream()?
            .set_priority(self.header.class.priority())
            .map_err(|_| TransportError::Closed)?;
        match send.stream()?.write_chunk(self.message.clone()).await {
            // The peer answers without reading on; its answer says why.
            Ok(()) | Err(WriteError::Stopped(_)) => send.finish(),
            Err(error) => return Err(error.into()),
        }
        let answer = read_to_end(
            &mut receive,
            BytesMut::new(),
            wire::answer_limit(self.max_response_bytes),
        )
        .await?;
        let most = self.max_response_bytes;
        let too_long = || TransportError::Limit(format!("the answer has more than {most} bytes"));
        let body = wire::decode_answer(answer.ok_or_else(too_long)?)?;
        if body.len() > most {
            Err(too_long())
        } else {
            Ok(body)
        }
    }
}

/// Reads the header of a stream that a peer opened and does what it says.
pub(crate) async fn serve_stream(
    shared: Arc<Shared>,
    link: Arc<Link>,
    active: Active,
    send: SendStream,
    receive: RecvStream,
) {
    if let Some(opened) = Opened::read(&shared, send, receive).await {
        serve_opened(&shared, &link, active, opened).await;
    }
}

/// A peer that resumes a session and whose handshake is not done yet.
pub(crate) struct Early {
    pub(crate) peer: [u8; NODE_ID_BYTES],
    pub(crate) remote: SocketAddr,
    pub(crate) outcome: handshake::Outcome,
}

/// As [`serve_stream`], for a stream that came before the handshake was done. A request that may be answered more
/// than once is served at once. All else waits: what is played again never finishes a handshake.
pub(crate) async fn serve_early_stream(
    shared: Arc<Shared>,
    mut early: Early,
    send: SendStream,
    receive: RecvStream,
) {
    let Some(opened) = Opened::read(&shared, send, receive).await else {
        return;
    };
    if opened.header.kind == Kind::IdempotentRequest {
        shared.counters.early_request();
        serve_request(&shared, Asker::Early(&early), opened).await;
        return;
    }
    let attached = early.outcome.wait_for(Option::is_some).await;
    let attached = attached.ok().and_then(|attached| attached.clone());
    match attached {
        Some((link, carrier)) => serve_opened(&shared, &link, carrier.enter(), opened).await,
        None => opened.give_up(),
    }
}

async fn serve_opened(shared: &Arc<Shared>, link: &Link, active: Active, opened: Opened) {
    match opened.header.kind {
        Kind::Request | Kind::IdempotentRequest => {
            serve_request(shared, Asker::Link(link.id), opened).await;
        }
        Kind::Stream => {
            let protocol = opened.header.protocol;
            let stream = stream::start(shared, active, opened.send, opened.receive, opened.rest);
            shared.sink.push(Event::StreamOpened {
                stream,
                link: link.id,
                protocol,
            });
        }
    }
}

/// A stream that a peer opened, as far as its header.
struct Opened {
    header: Header,
    send: SendStream,
    receive: RecvStream,
    /// What came with the header.
    rest: BytesMut,
}

impl Opened {
    async fn read(shared: &Shared, send: SendStream, mut receive: RecvStream) -> Option<Self> {
        let started = timeout(shared.limits.stream_header_time, read_header(&mut receive)).await;
        let Ok(Ok((header, rest))) = started else {
            if let Ok(Err(TransportError::Protocol(_))) = started {
                shared.counters.refuse(Refused::Malformed);
            }
            give_up(send, receive);
            return None;
        };
        let _ = send.set_priority(header.class.priority());
        Some(Self {
            header,
            send,
            receive,
            rest,
        })
    }

    fn give_up(self) {
        give_up(self.send, self.receive);
    }
}

fn give_up(send: SendStream, mut receive: RecvStream) {
    let _ = receive.stop(GIVEN_UP);
    Unfinished(Some(send)).reset();
}

/// Who asks.
enum Asker<'a> {
    Link(LinkId),
    Early(&'a Early),
}

impl Asker<'_> {
    fn event(&self, request: RequestId, protocol: u16, body: Bytes) -> Event {
        match self {
            Self::Link(link) => Event::Request {
                request,
                link: *link,
                protocol,
                body,
            },
            Self::Early(early) => Event::EarlyRequest {
                request,
                peer: early.peer,
                remote: early.remote,
                protocol,
                body,
            },
        }
    }
}

async fn serve_request(shared: &Arc<Shared>, asker: Asker<'_>, opened: Opened) {
    let Opened {
        header,
        send,
        mut receive,
        rest,
    } = opened;
    let protocol = header.protocol;
    let stopped = send.stopped();
    let mut send = Unfinished(Some(send));
    let refuse = |code: &str, message: String| {
        Err(Refusal {
            code: code.to_owned(),
            message,
        })
    };
    let body = timeout(
        shared.limits.request_body_time,
        read_to_end(&mut receive, rest, MAX_REQUEST_BYTES),
    )
    .await;
    let answer = match body {
        Ok(Ok(Some(body))) => {
            let _held = match HeldBytes::take(shared, body.len()) {
                Ok(held) => held,
                Err(why) => {
                    shared.counters.refuse(why);
                    let text = "too many requests wait for an answer".to_owned();
                    write_answer(&mut send, &refuse("RATE_LIMITED", text)).await;
                    return;
                }
            };
            shared
                .counters
                .bytes(Direction::Inbound, header.class, body.len());
            let request = shared.number();
            let (sender, answer) = oneshot::channel();
            shared.requests.lock().insert(request, sender);
            shared.sink.push(asker.event(request, protocol, body));
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
    if write_answer(&mut send, &answer).await {
        let body_bytes = answer.map_or(0, |body| body.len());
        shared
            .counters
            .bytes(Direction::Outbound, header.class, body_bytes);
    }
}

/// Whether it was taken.
async fn write_answer(send: &mut Unfinished, answer: &Result<Bytes, Refusal>) -> bool {
    let Ok(stream) = send.stream() else { return false };
    let written = stream.write_chunk(wire::encode_answer(answer)).await.is_ok();
    if written {
        send.finish();
    }
    written
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

/// Bytes of a request that waits for its answer, counted against the limits of the endpoint and of the process.
struct HeldBytes<'a> {
    shared: &'a Shared,
    share: Share,
}

impl<'a> HeldBytes<'a> {
    fn take(shared: &'a Shared, bytes: usize) -> Result<Self, Refused> {
        let mut share = Share::empty(Budget::of_process(), budget::Kind::Requests);
        if !share.grow(bytes) {
            return Err(Refused::Memory);
        }
        let before = shared.request_bytes.fetch_add(bytes, Ordering::Relaxed);
        // Given back by drop in either case.
        let held = Self { shared, share };
        if before + bytes > MAX_WAITING_REQUEST_BYTES {
            return Err(Refused::RequestBytes);
        }
        Ok(held)
    }
}

impl Drop for HeldBytes<'_> {
    fn drop(&mut self) {
        self.shared
            .request_bytes
            .fetch_sub(self.share.bytes(), Ordering::Relaxed);
    }
}
