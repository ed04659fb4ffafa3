//! Packets of a handshake, as far as they can be read without keys (RFC 9000 §17.2).

/// Set in packets with a long header.
const LONG_HEADER: u8 = 0x80;
/// What every node calls itself. A shorter id could be the beginning of another connection's.
pub(crate) const ID_BYTES: usize = 8;
/// RFC 9000 §15.
const QUIC_V1: [u8; 4] = [0, 0, 0, 1];
/// The version of a Version Negotiation packet (RFC 9000 §17.2.1).
const NEGOTIATION: [u8; 4] = [0; 4];

/// A connection id that a node chose.
pub(crate) type Id = [u8; ID_BYTES];

/// Whether this is a packet of a handshake.
pub(crate) fn is_long(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & LONG_HEADER != 0)
}

/// Whether a server says that it speaks another version.
pub(crate) fn is_negotiation(datagram: &[u8]) -> bool {
    is_long(datagram) && datagram.get(1..5) == Some(&NEGOTIATION)
}

/// RFC 9000 §17.2, table 5.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
}

/// The part of a packet that every version has, and its type.
pub(crate) struct LongHeader<'a> {
    pub(crate) kind: Kind,
    /// Of any length in the first packets of a client, who makes it up.
    pub(crate) destination: &'a [u8],
    pub(crate) source: Id,
}

impl<'a> LongHeader<'a> {
    /// Nothing for a short header, for another version and for what no node sends.
    pub(crate) fn of(datagram: &'a [u8]) -> Option<Self> {
        if !is_long(datagram) {
            return None;
        }
        let ([first, version @ ..], rest) = datagram.split_first_chunk::<5>()?;
        if *version != QUIC_V1 {
            return None;
        }
        let (length, rest) = rest.split_first()?;
        let (destination, rest) = rest.split_at_checked(usize::from(*length))?;
        let (length, rest) = rest.split_first()?;
        let (source, _) = rest.split_at_checked(usize::from(*length))?;
        let kind = match first >> 4 & 3 {
            0 => Kind::Initial,
            1 => Kind::ZeroRtt,
            2 => Kind::Handshake,
            _ => Kind::Retry,
        };
        Some(Self {
            kind,
            destination,
            source: source.try_into().ok()?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn headers_that_are_cut_off_or_name_no_node_are_none() {
        let whole = packet(Kind::Initial, b"12345678", b"abcdefgh", 30);
        for length in 0..whole.len() {
            let header = LongHeader::of(&whole[..length]);
            assert_eq!(header.is_some(), length >= 23, "{length}");
        }
        for source in [&b""[..], b"1234567", b"123456789"] {
            assert!(LongHeader::of(&packet(Kind::Initial, b"12345678", source, 1200)).is_none());
        }
        assert!(LongHeader::of(&[0xff; 100]).is_none());
    }

    #[test]
    fn types_and_ids_are_told_and_other_versions_are_not() {
        for kind in [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry] {
            let mut packet = packet(kind, b"a longer id", b"abcdefgh", 100);
            let header = LongHeader::of(&packet).unwrap();
            assert_eq!(
                (header.kind, header.destination, &header.source),
                (kind, &b"a longer id"[..], b"abcdefgh")
            );
            assert!(!is_negotiation(&packet));
            packet[4] = 2;
            assert!(LongHeader::of(&packet).is_none() && !is_negotiation(&packet));
            packet[4] = 0;
            assert!(LongHeader::of(&packet).is_none() && is_negotiation(&packet));
            packet[0] &= !LONG_HEADER;
            assert!(!is_negotiation(&packet));
        }
    }

    pub(crate) fn packet(kind: Kind, destination: &[u8], source: &[u8], bytes: usize) -> Vec<u8> {
        let mut packet = vec![0xc0 | (kind as u8) << 4, 0, 0, 0, 1];
        for id in [destination, source] {
            packet.push(u8::try_from(id.len()).unwrap());
            packet.extend_from_slice(id);
        }
        packet.resize(bytes.max(packet.len()), 0);
        packet
    }
}
