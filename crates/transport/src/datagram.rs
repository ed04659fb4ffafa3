//! Datagrams of a connection (RFC 9221): each arrives once or not at all, in any order.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{BufMut, Bytes, BytesMut};
use quinn::Connection;

use crate::{
    budget::{Budget, Kind, Share},
    counters::{Direction, Refused},
    events::{Event, LinkId},
    limits::MAX_WAITING_DATAGRAM_BYTES,
    shared::Shared,
    wire::{self, DATAGRAM_HEADER_BYTES},
};

/// What became of a datagram that was to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sending {
    /// It goes as soon as the path has room.
    Taken,
    /// The connection has ended, or its path carries none so long.
    Unfit,
    /// So much waits already that the path is slower than its sender.
    Full,
}

/// Hands a datagram to quinn; never instead of one that waits, of which nobody would be told.
pub(crate) fn send(connection: &Connection, protocol: u16, body: &[u8]) -> Sending {
    let bytes = DATAGRAM_HEADER_BYTES + body.len();
    if connection.max_datagram_size().is_none_or(|most| bytes > most) {
        return Sending::Unfit;
    }
    let mut datagram = BytesMut::with_capacity(bytes);
    datagram.put_u16_le(protocol);
    datagram.put_slice(body);
    // It is taken at the first poll, or would have to wait.
    let sending = pin!(connection.send_datagram_wait(datagram.freeze()));
    match sending.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => Sending::Taken,
        Poll::Ready(Err(_)) => Sending::Unfit,
        Poll::Pending => Sending::Full,
    }
}

/// Hands those that come to the owner until the connection ends.
pub(crate) async fn take(shared: Arc<Shared>, link: LinkId, connection: Connection) {
    while let Ok(datagram) = connection.read_datagram().await {
        if let Err(why) = hand_over(&shared, link, datagram) {
            shared.counters.refuse(why);
        }
    }
}

fn hand_over(shared: &Shared, link: LinkId, datagram: Bytes) -> Result<(), Refused> {
    let (protocol, body) = wire::split_datagram(datagram).ok_or(Refused::Malformed)?;
    if shared.sink.waiting_bytes() + body.len() > MAX_WAITING_DATAGRAM_BYTES {
        return Err(Refused::DatagramBytes);
    }
    let body = Waiting::copy(&body).ok_or(Refused::Memory)?;
    shared.counters.datagram(Direction::Inbound, body.len());
    shared.sink.push(Event::Datagram { link, protocol, body });
    Ok(())
}

/// Bytes that wait for the owner, counted until the owner drops them.
struct Waiting {
    bytes: Box<[u8]>,
    _share: Share,
}

impl Waiting {
    /// Not the packet train that they came with; none when the budget is short.
    fn copy(bytes: &[u8]) -> Option<Bytes> {
        let mut share = Share::empty(Budget::of_process(), Kind::Datagrams);
        share.grow(bytes.len()).then(|| {
            Bytes::from_owner(Self {
                bytes: bytes.into(),
                _share: share,
            })
        })
    }
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget;

    #[test]
    fn what_waits_is_counted_until_its_last_part_is_dropped_and_keeps_nothing_else() {
        let train = Bytes::from(vec![7; 64 << 10]);
        let first = Waiting::copy(&train.slice(..1000)).unwrap();
        assert!(train.is_unique());
        assert_eq!(budget::held().datagrams, 1000);
        let part = first.slice(10..20);
        drop(first);
        assert_eq!(budget::held().datagrams, 1000);
        assert_eq!(part, [7; 10][..]);
        drop(part);
        assert_eq!(budget::held().datagrams, 0);
    }
}
