//! The bytes around what services send. docs/PROTOCOL.md describes them for people.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{error::TransportError, limits::MAX_ERROR_TEXT_BYTES};

/// Bytes in front of everything that a stream carries: kind, traffic class, protocol (little-endian).
pub(crate) const HEADER_BYTES: usize = 4;
/// Bytes in front of a datagram's body: protocol (little-endian).
pub(crate) const DATAGRAM_HEADER_BYTES: usize = 2;

const KIND_REQUEST: u8 = 1;
const KIND_STREAM: u8 = 2;
const KIND_IDEMPOTENT: u8 = 3;
const STATUS_OK: u8 = 0;
const STATUS_ERROR: u8 = 1;

/// What a stream is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Request,
    Stream,
    /// A request that may be answered more than once: the only kind that is served before the handshake is done.
    IdempotentRequest,
}

/// Urgency of traffic, highest first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TrafficClass(u8);

impl TrafficClass {
    /// How many there are: control, request, media, message, bulk.
    pub const COUNT: u8 = 5;

    /// Every class with its label, in the order of the numbers.
    pub const LABELS: [&'static str; Self::COUNT as usize] =
        ["control", "request", "media", "message", "bulk"];

    /// The class of a number, 0 (control) to 4 (bulk).
    pub fn new(number: u8) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// quinn sends streams of a higher priority first.
    pub(crate) fn priority(self) -> i32 {
        i32::from(Self::COUNT - 1 - self.0)
    }

    /// The class that has this priority; the lowest for what is none.
    pub(crate) fn of_priority(priority: i32) -> Self {
        let above = u8::try_from(priority).unwrap_or(0).min(Self::COUNT - 1);
        Self(Self::COUNT - 1 - above)
    }

    /// Where it stands among all.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What the first bytes of a stream say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub class: TrafficClass,
    pub protocol: u16,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let kind = match self.kind {
            Kind::Request => KIND_REQUEST,
            Kind::Stream => KIND_STREAM,
            Kind::IdempotentRequest => KIND_IDEMPOTENT,
        };
        let [low, high] = self.protocol.to_le_bytes();
        [kind, self.class.0, low, high]
    }

    pub(crate) fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Self, TransportError> {
        let [kind, class, low, high] = bytes;
        let kind = match kind {
            KIND_REQUEST => Kind::Request,
            KIND_STREAM => Kind::Stream,
            KIND_IDEMPOTENT => Kind::IdempotentRequest,
            _ => return Err(TransportError::Protocol("a stream starts with an unknown kind")),
        };
        let class = TrafficClass::new(class).ok_or(TransportError::Protocol(
            "a stream names an unknown traffic class",
        ))?;
        Ok(Self {
            kind,
            class,
            protocol: u16::from_le_bytes([low, high]),
        })
    }
}

/// Protocol and body of a datagram; nothing when it is too short to have them.
pub(crate) fn split_datagram(mut bytes: Bytes) -> Option<(u16, Bytes)> {
    if bytes.len() < DATAGRAM_HEADER_BYTES {
        return None;
    }
    let header = bytes.split_to(DATAGRAM_HEADER_BYTES);
    Some((u16::from_le_bytes([header[0], header[1]]), bytes))
}

/// An answer as it travels: a status byte, then the body, or code, zero byte and text of an error.
pub(crate) fn encode_answer(answer: &Result<Bytes, Refusal>) -> Bytes {
    match answer {
        Ok(body) => {
            let mut bytes = BytesMut::with_capacity(1 + body.len());
            bytes.put_u8(STATUS_OK);
            bytes.put_slice(body);
            bytes.freeze()
        }
        Err(refusal) => {
            let text = truncate(&refusal.message, MAX_ERROR_TEXT_BYTES);
            let mut bytes = BytesMut::with_capacity(2 + refusal.code.len() + text.len());
            bytes.put_u8(STATUS_ERROR);
            bytes.put_slice(refusal.code.as_bytes());
            bytes.put_u8(0);
            bytes.put_slice(text.as_bytes());
            bytes.freeze()
        }
    }
}

/// Reads what [`encode_answer`] wrote.
pub(crate) fn decode_answer(mut bytes: Bytes) -> Result<Bytes, TransportError> {
    let malformed = TransportError::Protocol("an answer is malformed");
    if bytes.is_empty() {
        return Err(TransportError::Protocol("an answer is empty"));
    }
    let status = bytes.split_to(1);
    match status[0] {
        STATUS_OK => Ok(bytes),
        STATUS_ERROR => {
            let zero = bytes.iter().take(MAX_CODE_BYTES + 1).position(|byte| *byte == 0);
            let (code, text) = zero
                .map(|at| (&bytes[..at], &bytes[at + 1..]))
                .ok_or(malformed.clone())?;
            let is_code =
                !code.is_empty() && code.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_');
            let (Ok(code), Ok(text)) = (std::str::from_utf8(code), std::str::from_utf8(text)) else {
                return Err(malformed);
            };
            if !is_code || text.len() > MAX_ERROR_TEXT_BYTES {
                return Err(malformed);
            }
            Err(TransportError::Remote {
                code: code.to_owned(),
                message: text.to_owned(),
            })
        }
        _ => Err(malformed),
    }
}

/// Why a request gets no body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// A code of the public interface.
    pub code: String,
    /// A short text for people; cut to 256 bytes.
    pub message: String,
}

/// The largest answer on the wire for a body of at most `max_body_bytes`: an error may be longer than a body.
pub(crate) fn answer_limit(max_body_bytes: usize) -> usize {
    1 + max_body_bytes.max(MAX_CODE_BYTES + 1 + MAX_ERROR_TEXT_BYTES)
}

fn truncate(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

const MAX_CODE_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_frozen_bytes_and_comes_back() {
        let header = Header {
            kind: Kind::Request,
            class: TrafficClass(1),
            protocol: 0x0102,
        };
        assert_eq!(header.encode(), [1, 1, 2, 1]);
        assert_eq!(Header::decode([1, 1, 2, 1]), Ok(header));
        assert_eq!(
            Header::decode([3, 1, 2, 1]).unwrap().kind,
            Kind::IdempotentRequest
        );
        for bad in [[0, 0, 0, 0], [4, 0, 0, 0], [1, 5, 0, 0], [255; 4]] {
            assert_eq!(Header::decode(bad).unwrap_err().code(), "PROTOCOL_VIOLATION");
        }
    }

    #[test]
    fn control_goes_before_bulk() {
        let priorities: Vec<i32> = (0..TrafficClass::COUNT)
            .filter_map(TrafficClass::new)
            .map(TrafficClass::priority)
            .collect();
        assert_eq!(priorities, [4, 3, 2, 1, 0]);
        for class in (0..TrafficClass::COUNT).filter_map(TrafficClass::new) {
            assert_eq!(TrafficClass::of_priority(class.priority()), class);
        }
        assert_eq!(TrafficClass::of_priority(-7).index(), 4);
        assert_eq!(TrafficClass::of_priority(7).index(), 0);
        assert_eq!(TrafficClass::new(TrafficClass::COUNT), None);
    }

    #[test]
    fn answers_and_refusals_come_back() {
        for body in [&b""[..], b"x", &[7; 1000]] {
            let wire = encode_answer(&Ok(Bytes::copy_from_slice(body)));
            assert_eq!(decode_answer(wire).unwrap(), body);
        }
        let refusal = Refusal {
            code: "NOT_FOUND".to_owned(),
            message: "nobody".to_owned(),
        };
        let error = decode_answer(encode_answer(&Err(refusal))).unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("NOT_FOUND", "nobody")
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let refusal = Refusal {
            code: "TIMEOUT".to_owned(),
            message: "ü".repeat(200),
        };
        let error = decode_answer(encode_answer(&Err(refusal))).unwrap_err();
        assert_eq!(error.to_string().len(), MAX_ERROR_TEXT_BYTES);
    }

    #[test]
    fn malformed_answers_are_violations() {
        for bad in [
            &b""[..],
            b"\x02",
            b"\x01",
            b"\x01NO",
            b"\x01\0text",
            b"\x01no\0text",
            b"\x01NO\0\xff",
        ] {
            let error = decode_answer(Bytes::copy_from_slice(bad)).unwrap_err();
            assert_eq!(error.code(), "PROTOCOL_VIOLATION", "{bad:?}");
        }
    }
}
