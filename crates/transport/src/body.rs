//! The bytes of requests and answers, read whole under their caps and counted while they are held.

use std::sync::{Arc, atomic::Ordering};

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    account::{Account, Ahead},
    budget,
    counters::Refused,
    limits::{COPIED_BELOW, MAX_REQUEST_BYTES, MAX_WAITING_REQUEST_BYTES},
    shared::Shared,
};

/// The body of a request, counted until it is dropped.
pub(crate) struct Body {
    pub(crate) bytes: BytesMut,
    ahead: Ahead,
    /// It was read although the connection had all that it may.
    last: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read to its end.
pub(crate) enum Unread {
    TooLong,
    Full(Refused),
}

impl Body {
    /// `first` came with the header; `count` is told of each piece that comes after it.
    pub(crate) async fn read(
        account: &Arc<Account>,
        receive: &mut RecvStream,
        first: BytesMut,
        count: impl Fn(usize),
    ) -> Result<Result<Self, Unread>, ReadError> {
        let mut body = Self {
            bytes: first,
            ahead: Ahead::new(account.clone(), budget::Kind::Requests),
            last: None,
        };
        if !body.ahead.grow(body.bytes.len()) {
            return Ok(Err(Unread::Full(Refused::Memory)));
        }
        loop {
            if body.last.is_none() && account.room_ahead(body.bytes.len()) == 0 {
                // It is never closed.
                body.last = account.last_body.clone().acquire_owned().await.ok();
            }
            let most = MAX_REQUEST_BYTES + 1 - body.bytes.len();
            let Some(chunk) = receive.read_chunk(most, true).await? else {
                return Ok(Ok(body));
            };
            if !body.ahead.grow(chunk.bytes.len()) {
                return Ok(Err(Unread::Full(Refused::Memory)));
            }
            count(chunk.bytes.len());
            append(&mut body.bytes, chunk.bytes);
            if body.bytes.len() > MAX_REQUEST_BYTES {
                return Ok(Err(Unread::TooLong));
            }
        }
    }
}

/// Appends a piece of what came in a packet.
pub(crate) fn append(bytes: &mut BytesMut, piece: Bytes) {
    if bytes.is_empty() && piece.len() >= COPIED_BELOW {
        // Not copied when nobody else holds the packet, which is the usual case.
        *bytes = piece
            .try_into_mut()
            .unwrap_or_else(|piece| BytesMut::from(&piece[..]));
    } else {
        bytes.extend_from_slice(&piece);
    }
}

/// Everything up to the end, while `count` is told of each piece; nothing when there is more than `limit`.
pub(crate) async fn read_to_end(
    receive: &mut RecvStream,
    limit: usize,
    count: impl Fn(usize),
) -> Result<Option<Bytes>, ReadError> {
    let mut bytes = BytesMut::new();
    loop {
        let Some(chunk) = receive.read_chunk(limit + 1 - bytes.len(), true).await? else {
            return Ok(Some(bytes.freeze()));
        };
        count(chunk.bytes.len());
        append(&mut bytes, chunk.bytes);
        if bytes.len() > limit {
            return Ok(None);
        }
    }
}

/// Bytes of a request that waits for its answer, counted against the limit of the endpoint.
pub(crate) struct HeldBytes<'a> {
    shared: &'a Shared,
    bytes: usize,
}

impl<'a> HeldBytes<'a> {
    pub(crate) fn take(shared: &'a Shared, bytes: usize) -> Option<Self> {
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
