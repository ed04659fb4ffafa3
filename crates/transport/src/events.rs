//! What an endpoint tells its owner.

use std::net::SocketAddr;

use bytes::Bytes;
use espalier_core::identity::NODE_ID_BYTES;

use crate::error::TransportError;

/// Names a pair of nodes, this one and a peer, for as long as any connection between them lives.
pub type LinkId = u32;
/// Names a stream of this endpoint.
pub type StreamId = u32;
/// Names something that the owner asked for; the owner chooses it.
pub type OperationId = u32;
/// Names a request that a peer made.
pub type RequestId = u32;

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// The first connection with a peer is up; always before anything else of its link.
    LinkUp {
        /// The link.
        link: LinkId,
        /// The id that the handshake proved.
        peer: [u8; NODE_ID_BYTES],
        /// Where the peer's packets come from.
        remote: SocketAddr,
        /// Whether this side dialled.
        outbound: bool,
    },
    /// New traffic of a link takes another connection now, or the peer's address has changed.
    LinkMoved {
        /// The link.
        link: LinkId,
        /// Where the peer's packets come from.
        remote: SocketAddr,
        /// Whether this side dialled that connection.
        outbound: bool,
    },
    /// The last connection with a peer has ended.
    LinkClosed {
        /// The link.
        link: LinkId,
        /// Why.
        reason: TransportError,
    },
    /// A dial has ended.
    Dialled {
        /// As the owner named it.
        operation: OperationId,
        /// The link, new or old.
        result: Result<LinkId, TransportError>,
    },
    /// A request of the owner has ended.
    Answered {
        /// As the owner named it.
        operation: OperationId,
        /// The answer's body.
        result: Result<Bytes, TransportError>,
    },
    /// A peer asks; answer with [`crate::endpoint::Endpoint::submit`].
    Request {
        /// For the answer.
        request: RequestId,
        /// Who asks.
        link: LinkId,
        /// What it is about.
        protocol: u16,
        /// The question.
        body: Bytes,
    },
    /// As [`Event::Request`], from a peer whose handshake is not done: it resumes a session, so its id is known,
    /// but somebody may be playing an old message again. Only what may be answered twice may be answered.
    EarlyRequest {
        /// For the answer.
        request: RequestId,
        /// Who asked, once or now.
        peer: [u8; NODE_ID_BYTES],
        /// Where the packets come from.
        remote: SocketAddr,
        /// What it is about.
        protocol: u16,
        /// The question.
        body: Bytes,
    },
    /// The peer no longer waits for the answer.
    RequestCancelled {
        /// The request.
        request: RequestId,
    },
    /// A datagram came in.
    Datagram {
        /// From whom.
        link: LinkId,
        /// What it is about.
        protocol: u16,
        /// Its bytes.
        body: Bytes,
    },
    /// Opening a stream, or ending its write side, has succeeded or failed.
    StreamDone {
        /// As the owner named it.
        operation: OperationId,
        /// The stream.
        result: Result<StreamId, TransportError>,
    },
    /// A peer opened a stream.
    StreamOpened {
        /// The stream.
        stream: StreamId,
        /// With whom.
        link: LinkId,
        /// What it is about.
        protocol: u16,
    },
    /// A read that found nothing may be tried again.
    StreamReadable {
        /// The stream.
        stream: StreamId,
    },
    /// A writer that was told to wait may go on.
    StreamWritable {
        /// The stream.
        stream: StreamId,
    },
    /// The endpoint has ended: threads, port and connections are gone. Always the last event.
    Closed,
}

/// Takes events. Called from the endpoint's thread; it must not block.
pub trait EventSink: Send + Sync + 'static {
    /// Takes one event.
    fn push(&self, event: Event);
    /// Bytes of bodies that wait to be taken: datagrams that make it more than
    /// [`crate::limits::MAX_WAITING_DATAGRAM_BYTES`] are dropped, as on the way.
    fn waiting_bytes(&self) -> usize;
}
