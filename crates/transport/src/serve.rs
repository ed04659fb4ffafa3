//! Streams that peers open: their header says whether they are a request, which is read whole and answered, or go on.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use espalier_core::identity::NODE_ID_BYTES;
use quinn::{Connection, RecvStream, SendStream};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    counters::{Direction, Refused},
    error::TransportError,
    events::{Event, LinkId, RequestId},
    flow::Flow,
    handshake,
    held::{HeldRequest, UnreadAnswer},
    limits::{MAX_REQUEST_BYTES, SMALL_ANSWER_BYTES},
    link::{Active, Link},
    message::{GIVEN_UP, Unfinished, read_header, read_to_end},
    pump,
    shared::{Answer, Shared},
    wire::{self, Header, Kind, Refusal},
};

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
    pub(crate) connection: Connection,
    /// The link goes on with it.
    pub(crate) flow: Arc<Flow>,
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
        Box::pin(serve_request(&shared, Asker::Early(&early), opened)).await;
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
            // Boxed: it is large, and a stream of which only the header is missing would hold room for it.
            Box::pin(serve_request(shared, Asker::Link(link.id, &active), opened)).await;
        }
        Kind::Stream => {
            let protocol = opened.header.protocol;
            let stream = pump::start(shared, active, opened.send, opened.receive, opened.rest);
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
    Unfinished::new(send).reset();
}

/// Who asks.
enum Asker<'a> {
    Link(LinkId, &'a Active),
    Early(&'a Early),
}

impl<'a> Asker<'a> {
    /// The connection, and what goes over it.
    fn way(&self) -> (&'a Connection, &'a Flow) {
        match self {
            Self::Link(_, active) => (&active.carrier().connection, &active.carrier().flow),
            Self::Early(early) => (&early.connection, &early.flow),
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
    let stopped = send.stopped();
    tokio::pin!(stopped);
    let mut send = Unfinished::new(send);
    let (connection, flow) = asker.way();
    let mut held = HeldRequest::new(shared, flow);
    let body = timeout(
        shared.limits.request_body_time,
        read_to_end(&mut receive, rest, MAX_REQUEST_BYTES, |bytes| held.grow(bytes)),
    )
    .await;
    let answer = match body {
        Ok(Ok(Some(body))) => {
            shared
                .counters
                .bytes(Direction::Inbound, header.class, body.len());
            let (request, answer) = ask_owner(shared, &asker, header.protocol, body);
            tokio::select! {
                answer = answer => answer.unwrap_or_else(|_| Err(refusal("PEER_REFUSED", "the node is closing"))),
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
            Err(held.refused().map_or_else(too_long, |why| crowded(shared, why)))
        }
        // The caller gave up, the connection is lost, or the body never ends.
        _ => return,
    };
    drop(held);
    let (answer, unread) = match hold_answer(flow, &answer) {
        Ok(unread) => (answer, unread),
        Err(why) => (Err(crowded(shared, why)), None),
    };
    let body_bytes = answer.as_ref().map_or(0, Bytes::len);
    let encoded = wire::encode_answer(&answer);
    // It may wait for long: once is enough.
    drop(answer);
    let Ok(stream) = send.stream() else { return };
    if flow
        .write_all(connection, header.class, stream, encoded)
        .await
        .is_err()
    {
        return;
    }
    send.finish();
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

/// Hands a request to the owner; its answer comes through the receiver.
fn ask_owner(
    shared: &Shared,
    asker: &Asker<'_>,
    protocol: u16,
    body: Bytes,
) -> (RequestId, oneshot::Receiver<Answer>) {
    let request = shared.number();
    let (sender, answer) = oneshot::channel();
    shared.requests.lock().insert(request, sender);
    shared.sink.push(asker.event(request, protocol, body));
    (request, answer)
}

/// Counts an answer until the peer has it, unless it is small.
fn hold_answer<'a>(flow: &'a Flow, answer: &Answer) -> Result<Option<UnreadAnswer<'a>>, Refused> {
    match answer {
        Ok(body) if body.len() > SMALL_ANSWER_BYTES => UnreadAnswer::take(flow, body.len()).map(Some),
        _ => Ok(None),
    }
}

fn crowded(shared: &Shared, why: Refused) -> Refusal {
    shared.counters.refuse(why);
    refusal("RATE_LIMITED", "too much waits for this node or for its peer")
}

fn too_long() -> Refusal {
    refusal(
        "LIMIT_EXCEEDED",
        &format!("a request may have {MAX_REQUEST_BYTES} bytes"),
    )
}

fn refusal(code: &str, message: &str) -> Refusal {
    Refusal {
        code: code.to_owned(),
        message: message.to_owned(),
    }
}
