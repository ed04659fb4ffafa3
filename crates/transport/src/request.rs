//! One small message each way, on a stream of its own.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use espalier_core::identity::NODE_ID_BYTES;
use quinn::{Connection, ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    counters::{Direction, Refused},
    dial::Dialling,
    endpoint::Question,
    error::TransportError,
    events::{Event, LinkId, RequestId},
    handshake,
    held::{HeldRequest, UnreadAnswer},
    limits::{MAX_REQUEST_BYTES, SMALL_ANSWER_BYTES, SMALL_PIECE_BYTES},
    link::{Active, Carrier, Link},
    shared::Shared,
    stream,
    wire::{self, HEADER_BYTES, Header, Kind, Refusal, TrafficClass},
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
        let answer = self.ask_over(&carrier.connection, Some(&carrier)).await;
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
                    match self.ask_over(&connection, None).await {
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

    async fn ask_over(
        &self,
        connection: &Connection,
        carrier: Option<&Carrier>,
    ) -> Result<Bytes, TransportError> {
        let (send, mut receive) = connection.open_bi().await?;
        let mut send = Unfinished(Some(send));
        send.stream()?
            .set_priority(self.header.class.priority())
            .map_err(|_| TransportError::Closed)?;
        match write_all(carrier, self.header.class, send.stream()?, self.message.clone()).await {
            // The peer answers without reading on; its answer says why.
            Ok(()) | Err(WriteError::Stopped(_)) => send.finish(),
            Err(error) => return Err(error.into()),
        }
        let answer = read_to_end(
            &mut receive,
            BytesMut::new(),
            wire::answer_limit(self.max_response_bytes),
            |_| true,
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
            serve_request(shared, Asker::Link(link.id, active.carrier()), opened).await;
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
    Link(LinkId, &'a Carrier),
    Early(&'a Early),
}

impl<'a> Asker<'a> {
    fn carrier(&self) -> Option<&'a Carrier> {
        match self {
            Self::Link(_, carrier) => Some(carrier),
            Self::Early(_) => None,
        }
    }

    fn event(&self, request: RequestId, protocol: u16, body: Bytes) -> Event {
        match self {
            Self::Link(link, _) => Event::Request {
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
    tokio::pin!(stopped);
    let mut send = Unfinished(Some(send));
    let refuse = |code: &str, message: String| {
        Err(Refusal {
            code: code.to_owned(),
            message,
        })
    };
    let is_crowded = || {
        refuse(
            "RATE_LIMITED",
            "too much waits for this node or for its peer".to_owned(),
        )
    };
    let carrier = asker.carrier();
    let flow = carrier.map(|carrier| &*carrier.flow);
    let mut held = HeldRequest::new(shared, flow);
    let body = timeout(
        shared.limits.request_body_time,
        read_to_end(&mut receive, rest, MAX_REQUEST_BYTES, |bytes| held.grow(bytes)),
    )
    .await;
    let mut answer = match body {
        Ok(Ok(Some(body))) => {
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
                _ = &mut stopped => {
                    if shared.requests.lock().remove(&request).is_some() {
                        shared.sink.push(Event::RequestCancelled { request });
                    }
                    return;
                }
            }
        }
        Ok(Ok(None)) => {
            let _ = receive.stop(GIVEN_UP);
            if let Some(why) = held.refused() {
                shared.counters.refuse(why);
                is_crowded()
            } else {
                refuse(
                    "LIMIT_EXCEEDED",
                    format!("a request may have {MAX_REQUEST_BYTES} bytes"),
                )
            }
        }
        // The caller gave up, the connection is lost, or the body never ends.
        _ => return,
    };
    drop(held);
    let mut unread = None;
    if let (Some(flow), Ok(body)) = (flow, &answer)
        && body.len() > SMALL_ANSWER_BYTES
    {
        match UnreadAnswer::take(flow, body.len()) {
            Ok(taken) => unread = Some(taken),
            Err(why) => {
                shared.counters.refuse(why);
                answer = is_crowded();
            }
        }
    }
    let body_bytes = answer.as_ref().map_or(0, Bytes::len);
    let encoded = wire::encode_answer(&answer);
    // It may wait for long: once is enough.
    drop(answer);
    if write_answer(carrier, header.class, &mut send, encoded).await {
        shared
            .counters
            .bytes(Direction::Outbound, header.class, body_bytes);
        if let Some(unread) = unread {
            // Until the peer has acknowledged all of it, or wants no more.
            if let Ok(None) = stopped.await {
                unread.was_read();
            }
        }
    }
}

/// Whether it was taken.
async fn write_answer(
    carrier: Option<&Carrier>,
    class: TrafficClass,
    send: &mut Unfinished,
    encoded: Bytes,
) -> bool {
    let Ok(stream) = send.stream() else { return false };
    let written = write_all(carrier, class, stream, encoded).await.is_ok();
    if written {
        send.finish();
    }
    written
}

/// Writes by the rules of the connection, or early over one that has none yet.
async fn write_all(
    carrier: Option<&Carrier>,
    class: TrafficClass,
    send: &mut SendStream,
    bytes: Bytes,
) -> Result<(), WriteError> {
    match carrier {
        Some(carrier) => carrier.write_all(class, send, bytes).await,
        None => send.write_chunk(bytes).await,
    }
}

async fn read_header(receive: &mut RecvStream) -> Result<(Header, BytesMut), TransportError> {
    let mut bytes = BytesMut::new();
    while bytes.len() < HEADER_BYTES {
        match receive.read_chunk(MAX_REQUEST_BYTES, true).await? {
            // The usual case: the whole message is one piece.
            Some(chunk) if bytes.is_empty() => bytes = owned(chunk.bytes),
            Some(chunk) => bytes.extend_from_slice(&chunk.bytes),
            None => return Err(TransportError::Protocol("a stream ended before its header")),
        }
    }
    let header = bytes.split_to(HEADER_BYTES);
    let header = Header::decode([header[0], header[1], header[2], header[3]])?;
    Ok((header, bytes))
}

/// A piece of which nothing else is kept: a small one is copied, out of the packet train that it came with.
fn owned(piece: Bytes) -> BytesMut {
    if piece.len() < SMALL_PIECE_BYTES {
        return BytesMut::from(&piece[..]);
    }
    piece
        .try_into_mut()
        .unwrap_or_else(|piece| BytesMut::from(&piece[..]))
}

/// Everything up to the end, after what has been read; nothing when there is more than `limit`, or when `hold`
/// doesn't take so many bytes more.
async fn read_to_end(
    receive: &mut RecvStream,
    mut bytes: BytesMut,
    limit: usize,
    mut hold: impl FnMut(usize) -> bool,
) -> Result<Option<Bytes>, ReadError> {
    if bytes.len() > limit || !hold(bytes.len()) {
        return Ok(None);
    }
    loop {
        let Some(chunk) = receive.read_chunk(limit + 1 - bytes.len(), true).await? else {
            return Ok(Some(bytes.freeze()));
        };
        if !hold(chunk.bytes.len()) {
            return Ok(None);
        }
        if bytes.is_empty() {
            bytes = owned(chunk.bytes);
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
