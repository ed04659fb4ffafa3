//! What a stream brings or takes as one message: its header, all of it up to a limit, and an end that says whether it is
//! whole.

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt};

use crate::{
    error::TransportError,
    limits::MAX_REQUEST_BYTES,
    wire::{HEADER_BYTES, Header},
};

/// Why a stream was given up: nobody waits for it any more.
pub(crate) const GIVEN_UP: VarInt = VarInt::from_u32(0);

/// The header, and what came with it.
pub(crate) async fn read_header(receive: &mut RecvStream) -> Result<(Header, BytesMut), TransportError> {
    let mut bytes = BytesMut::new();
    while bytes.len() < HEADER_BYTES {
        match receive.read_chunk(MAX_REQUEST_BYTES, true).await? {
            Some(chunk) => extend(&mut bytes, &chunk.bytes),
            None => return Err(TransportError::Protocol("a stream ended before its header")),
        }
    }
    let header = bytes.split_to(HEADER_BYTES);
    let header = Header::decode([header[0], header[1], header[2], header[3]])?;
    Ok((header, bytes))
}

/// Appends a copy, because a piece keeps the whole packet train that it came with; and keeps room for half as much
/// again at most: many messages may stay unfinished for long.
fn extend(bytes: &mut BytesMut, piece: &[u8]) {
    if bytes.capacity() - bytes.len() < piece.len() {
        let room = piece.len().max(bytes.len() / 2);
        let mut grown = BytesMut::with_capacity(bytes.len() + room);
        grown.extend_from_slice(bytes);
        *bytes = grown;
    }
    bytes.extend_from_slice(piece);
}

/// Everything up to the end, after what has been read; nothing when there is more than `limit`, or when `hold`
/// doesn't take so many bytes more.
pub(crate) async fn read_to_end(
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
        extend(&mut bytes, &chunk.bytes);
        if bytes.len() > limit {
            return Ok(None);
        }
    }
}

/// A sending side that is reset unless it was finished: a half-sent message must not look whole.
pub(crate) struct Unfinished(Option<SendStream>);

impl Unfinished {
    pub(crate) fn new(stream: SendStream) -> Self {
        Self(Some(stream))
    }

    /// The stream as long as it is neither finished nor reset.
    pub(crate) fn stream(&mut self) -> Result<&mut SendStream, TransportError> {
        self.0.as_mut().ok_or(TransportError::Closed)
    }

    pub(crate) fn finish(&mut self) {
        if let Some(mut stream) = self.0.take() {
            // It fails only when the peer has stopped reading, and then there is nothing to finish.
            let _ = stream.finish();
        }
    }

    pub(crate) fn reset(&mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_grows_in_pieces_is_whole_and_takes_half_as_much_again_at_most() {
        let mut bytes = BytesMut::new();
        extend(&mut bytes, &[1; 10]);
        assert_eq!(bytes.capacity(), 10);
        for number in 2..=200 {
            extend(&mut bytes, &[number; 1400]);
            assert!(bytes.capacity() <= bytes.len() + (bytes.len() / 2).max(1400));
        }
        assert_eq!(bytes.len(), 10 + 199 * 1400);
        assert_eq!((bytes[9], bytes[10], bytes[bytes.len() - 1]), (1, 2, 200));
    }
}
