//! A request that this node makes: one small message each way, on a stream of its own.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::{Connection, SendStream, WriteError};
use tokio::{sync::watch, time::timeout};

use crate::{
    counters::Direction,
    dial::Dialling,
    endpoint::Question,
    error::TransportError,
    limits::MAX_REQUEST_BYTES,
    link::{Carrier, Link},
    message::{Unfinished, read_to_end},
    shared::Shared,
    wire::{self, HEADER_BYTES, Header, Kind, TrafficClass},
};

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
            // Rare, and larger than the other: in a box it takes no room in the future of each request.
            Target::Dial(dialling) => Box::pin(query.ask_dialled(&shared, dialling)).await,
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
        let mut send = Unfinished::new(send);
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
