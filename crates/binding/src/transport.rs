//! Endpoints and what goes over them. Requests come in batches, streams are read and written in place;
//! everything that takes time ends in an event (see `transport_events`).

use std::{net::SocketAddr, time::Duration};

use ::bytes::Bytes;
use espalier_core::identity::NODE_ID_BYTES;
use espalier_transport::{
    Read, Refusal, TrafficClass, VarInt,
    endpoint::{Command, Endpoint, EndpointOptions, Question},
    error::TransportError,
};
use napi_derive::napi;

use crate::{
    arguments,
    bytes::{self, ByteArray},
    environment,
    failure::Failure,
    list::{Copied, TextList},
    transport_events::Sink,
};

/// Bytes in front of each record of a batch: kind, status, two of zero, four numbers, length of what follows.
const RECORD_BYTES: usize = 24;
const KIND_REQUEST: u8 = 1;
const KIND_ANSWER: u8 = 2;
const KIND_CANCEL: u8 = 3;
/// What a read answers when nothing is there yet.
const WAIT: f64 = -1.0;
const MAX_TIME_MS: u64 = 24 * 3600 * 1000;

/// Binds a port under the identity of `key` and answers the number of the endpoint.
#[napi(catch_unwind)]
pub fn transport_open(
    key: f64,
    hosts: TextList,
    port: f64,
    accepts: bool,
    resumes: bool,
) -> napi::Result<u32> {
    let environment = environment::current()?;
    let key = environment.signing_keys.get(key)?;
    let port = number("port", port)?;
    let wrong = |host: &String| Failure::argument("hosts", format_args!("{host:?} is not an IP address"));
    let hosts = hosts.0.iter().map(|host| host.parse().map_err(|_| wrong(host)));
    let hosts = hosts.collect::<Result<_, Failure>>()?;
    let endpoint = environment.endpoints.reserve();
    let sink = Sink::new(&environment, endpoint);
    let opened = Endpoint::open(
        EndpointOptions {
            key,
            hosts,
            port,
            accepts,
            resumes,
        },
        sink,
    )
    .map_err(failure)?;
    environment.endpoints.insert(endpoint, opened);
    Ok(endpoint)
}

/// The addresses that were bound, then the negotiated key exchange, signature and cipher suite.
#[napi(catch_unwind)]
pub fn transport_facts(endpoint: f64) -> napi::Result<Vec<String>> {
    let endpoint = environment::current()?.endpoints.get(endpoint)?;
    let negotiated = endpoint.negotiated();
    let names = [
        &negotiated.key_exchange,
        &negotiated.signature,
        &negotiated.cipher_suite,
    ];
    let addresses = endpoint.addresses().iter().map(ToString::to_string);
    Ok(names.into_iter().cloned().chain(addresses).collect())
}

/// Dials a peer; ends in an event. `first` is a batch of one request, which goes as early as it may.
#[napi(catch_unwind)]
pub fn transport_dial(
    endpoint: f64,
    operation: f64,
    expected: Option<Copied>,
    addresses: TextList,
    timeout_ms: f64,
    first: Option<ByteArray<'_>>,
) -> napi::Result<()> {
    let expected = expected
        .map(|id| arguments::exactly::<NODE_ID_BYTES>("id", &id.0).copied())
        .transpose()?;
    let wrong = |text: &String| Failure::argument("addresses", format_args!("{text:?} is not an address"));
    let addresses = addresses
        .0
        .iter()
        .map(|text| text.parse::<SocketAddr>().map_err(|_| wrong(text)));
    let addresses = addresses.collect::<Result<_, Failure>>()?;
    let (operation, time) = (arguments::job(operation)?, time(timeout_ms)?);
    let first = first.map(|record| first_question(&record)).transpose()?;
    submit(
        endpoint,
        vec![Command::Dial {
            operation,
            expected,
            addresses,
            time,
            first,
        }],
    )
}

/// Takes a batch of requests, answers and cancellations.
#[napi(catch_unwind)]
pub fn transport_submit(endpoint: f64, batch: ByteArray<'_>) -> napi::Result<()> {
    // One copy for the whole batch; its messages are slices of it.
    let commands = read_batch(Bytes::copy_from_slice(&batch))?;
    submit(endpoint, commands)
}

/// Opens a stream; ends in an event.
#[napi(catch_unwind)]
pub fn transport_open_stream(
    endpoint: f64,
    operation: f64,
    link: f64,
    class: f64,
    protocol: f64,
    timeout_ms: f64,
) -> napi::Result<()> {
    let operation = arguments::job(operation)?;
    let link = arguments::job(link)?;
    let class = u8::try_from(arguments::integer(
        "trafficClass",
        class,
        u64::from(TrafficClass::COUNT - 1),
    )?)
    .ok();
    let class = class
        .and_then(TrafficClass::new)
        .ok_or_else(|| Failure::argument("trafficClass", "unknown"))?;
    let (protocol, time) = (number("protocol", protocol)?, time(timeout_ms)?);
    submit(
        endpoint,
        vec![Command::OpenStream {
            operation,
            link,
            class,
            protocol,
            time,
        }],
    )
}

/// Copies what a stream has into `target` and answers the count; 0 at the end, −1 to wait for an event.
#[napi(catch_unwind)]
pub fn transport_read(endpoint: f64, stream: f64, mut target: ByteArray<'_>) -> napi::Result<f64> {
    let endpoint = environment::current()?.endpoints.get(endpoint)?;
    let stream = arguments::job(stream)?;
    let read = bytes::fill(&mut target, &[], |target| {
        endpoint.read(stream, target).map_err(failure)
    })?;
    #[allow(clippy::cast_precision_loss)]
    Ok(match read {
        Read::Bytes(count) => count as f64,
        Read::End => 0.0,
        Read::Wait => WAIT,
    })
}

/// Copies `bytes` for sending; true when the writer should wait for an event.
#[napi(catch_unwind)]
pub fn transport_write(endpoint: f64, stream: f64, bytes: ByteArray<'_>) -> napi::Result<bool> {
    let endpoint = environment::current()?.endpoints.get(endpoint)?;
    Ok(endpoint.write(arguments::job(stream)?, &bytes).map_err(failure)?)
}

/// Ends the write side of a stream; ends in an event.
#[napi(catch_unwind)]
pub fn transport_finish(endpoint: f64, stream: f64, operation: f64) -> napi::Result<()> {
    let endpoint = environment::current()?.endpoints.get(endpoint)?;
    Ok(endpoint
        .finish(arguments::job(stream)?, arguments::job(operation)?)
        .map_err(failure)?)
}

/// Gives up a stream.
#[napi(catch_unwind)]
pub fn transport_reset(endpoint: f64, stream: f64, code: f64) -> napi::Result<()> {
    let endpoint = environment::current()?.endpoints.get(endpoint)?;
    endpoint.reset(arguments::job(stream)?, code_of(code)?);
    Ok(())
}

/// Forgets a stream that has ended in both directions.
#[napi(catch_unwind)]
pub fn transport_release(endpoint: f64, stream: f64) -> napi::Result<()> {
    environment::current()?
        .endpoints
        .get(endpoint)?
        .release(arguments::job(stream)?);
    Ok(())
}

/// Sends a datagram; false when the path can't take it: it is too long, or too much waits already.
#[napi(catch_unwind)]
pub fn transport_datagram(
    endpoint: f64,
    link: f64,
    protocol: f64,
    body: ByteArray<'_>,
) -> napi::Result<bool> {
    let endpoint = environment::current()?.endpoints.get(endpoint)?;
    Ok(endpoint.send_datagram(arguments::job(link)?, number("protocol", protocol)?, &body))
}

/// Ends the connections with a peer.
#[napi(catch_unwind)]
pub fn transport_close_link(endpoint: f64, link: f64, code: f64) -> napi::Result<()> {
    submit(
        endpoint,
        vec![Command::CloseLink {
            link: arguments::job(link)?,
            code: code_of(code)?,
        }],
    )
}

/// Round-trip time in milliseconds, bytes sent, bytes received, packets lost.
#[napi(catch_unwind)]
pub fn transport_stats(endpoint: f64, link: f64) -> napi::Result<Vec<f64>> {
    let endpoint = environment::current()?.endpoints.get(endpoint)?;
    let stats = endpoint.stats(arguments::job(link)?).map_err(failure)?;
    let counts = [stats.bytes_sent, stats.bytes_received, stats.packets_lost];
    #[allow(clippy::cast_precision_loss)]
    let counts = counts.map(|count| count as f64);
    Ok([stats.rtt.as_secs_f64() * 1000.0]
        .into_iter()
        .chain(counts)
        .collect())
}

/// Starts to close an endpoint; its last event is `closed`.
#[napi(catch_unwind)]
pub fn transport_close(endpoint: f64) -> napi::Result<()> {
    environment::current()?.endpoints.get(endpoint)?.close();
    Ok(())
}

/// Forgets an endpoint whose last event has come.
#[napi(catch_unwind)]
pub fn transport_forget(endpoint: f64) -> napi::Result<()> {
    environment::current()?.endpoints.remove(endpoint)
}

/// Closes every endpoint of this thread and waits: for a process that is about to end.
#[napi(catch_unwind)]
pub fn transport_close_all() -> napi::Result<()> {
    environment::current()?.endpoints.close_all();
    Ok(())
}

/// Fills `slab` with the oldest events and answers the bytes that they take.
#[napi(catch_unwind)]
pub fn transport_drain(mut slab: ByteArray<'_>) -> napi::Result<u32> {
    let environment = environment::current()?;
    environment.queue.rearm();
    Ok(bytes::fill(&mut slab, &[], |slab| {
        environment.events.drain_into(slab)
    })?)
}

fn submit(endpoint: f64, commands: Vec<Command>) -> napi::Result<()> {
    let endpoint = environment::current()?.endpoints.get(endpoint)?;
    Ok(endpoint.submit(commands).map_err(failure)?)
}

/// Reads records as ts/native/transport.ts writes them.
fn read_batch(mut batch: Bytes) -> Result<Vec<Command>, Failure> {
    let mut commands = Vec::new();
    while !batch.is_empty() {
        if batch.len() < RECORD_BYTES {
            return Err(Failure::argument("batch", "a record is cut"));
        }
        let head = batch.split_to(RECORD_BYTES);
        let field = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = field(20) as usize;
        if batch.len() < length {
            return Err(Failure::argument("batch", "a record is cut"));
        }
        let payload = batch.split_to(length);
        commands.push(match head[0] {
            KIND_REQUEST => Command::Request {
                link: field(8),
                question: Question {
                    operation: field(4),
                    message: payload,
                    time: Duration::from_millis(u64::from(field(12))),
                    max_response_bytes: field(16) as usize,
                },
            },
            KIND_ANSWER => Command::Answer {
                request: field(4),
                answer: read_answer(head[1], payload)?,
            },
            KIND_CANCEL => Command::Cancel { operation: field(4) },
            kind => {
                return Err(Failure::argument(
                    "batch",
                    format_args!("there is no kind {kind}"),
                ));
            }
        });
    }
    Ok(commands)
}

fn first_question(record: &[u8]) -> Result<Question, Failure> {
    match read_batch(Bytes::copy_from_slice(record))?.pop() {
        Some(Command::Request { question, .. }) => Ok(question),
        _ => Err(Failure::argument("first", "it has to be one request")),
    }
}

/// A body, or the code of a refusal, a zero byte and its text.
fn read_answer(status: u8, payload: Bytes) -> Result<Result<Bytes, Refusal>, Failure> {
    if status == 0 {
        return Ok(Ok(payload));
    }
    let text =
        std::str::from_utf8(&payload).map_err(|_| Failure::argument("batch", "a refusal is not text"))?;
    let (code, message) = text
        .split_once('\0')
        .ok_or_else(|| Failure::argument("batch", "a refusal has no code"))?;
    Ok(Err(Refusal {
        code: code.to_owned(),
        message: message.to_owned(),
    }))
}

pub(crate) fn failure(error: TransportError) -> Failure {
    Failure::new(static_code(error.code()), error.to_string())
}

/// The transport's own codes. A peer's code only travels in events, as text.
fn static_code(code: &str) -> &'static str {
    const CODES: [&str; 12] = [
        "INVALID_ARGUMENT",
        "PEER_UNREACHABLE",
        "PEER_MISMATCH",
        "PEER_REFUSED",
        "CONNECTION_LOST",
        "CLOSED",
        "TIMEOUT",
        "ABORTED",
        "LIMIT_EXCEEDED",
        "STREAM_RESET",
        "PROTOCOL_VIOLATION",
        "INVALID_STATE",
    ];
    CODES
        .into_iter()
        .find(|known| *known == code)
        .unwrap_or("PEER_REFUSED")
}

fn number(name: &str, value: f64) -> Result<u16, Failure> {
    let value = arguments::integer(name, value, u64::from(u16::MAX))?;
    u16::try_from(value).map_err(|_| Failure::argument(name, "too large"))
}

fn time(value: f64) -> Result<Duration, Failure> {
    arguments::integer("timeoutMs", value, MAX_TIME_MS).map(Duration::from_millis)
}

fn code_of(value: f64) -> Result<VarInt, Failure> {
    let value = arguments::integer("code", value, u64::from(u32::MAX))?;
    VarInt::from_u64(value).map_err(|_| Failure::argument("code", "too large"))
}
