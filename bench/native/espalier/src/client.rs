//! The side that asks.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use espalier_bench_native::commands::{Failure, cpu_seconds, measured, serve, with_percentiles};
use espalier_transport::{
    Read, TrafficClass, VarInt,
    endpoint::{Command, Question},
    events::{Event, LinkId, OperationId, StreamId},
};
use serde_json::Value;

use crate::node::{CHUNK_BYTES, ECHO, Node, SINK};

/// For any single operation.
const TIME: Duration = Duration::from_secs(10);
const REQUEST: u8 = 1;
/// What may go with the first packets of a resumed session.
const IDEMPOTENT_REQUEST: u8 = 3;
const DIAL: OperationId = 1;
const STREAM: OperationId = 2;
/// Requests count from here.
const FIRST_REQUEST: OperationId = 16;

pub fn run(address: &str, id: &str) -> Result<(), Failure> {
    let server = Server {
        address: address.parse()?,
        id: id_of(id)?,
    };
    let full = Client::open(server, false)?;
    let resuming = Client::open(server, true)?;
    serve(|command| {
        let time = command.duration()?;
        match command.op() {
            "stream" => full.stream(time),
            "requests" => full.requests(time, command.number("inFlight")?, command.number("bodyBytes")?),
            "connect" if command.flag("resumes") => resuming.connects(time),
            "connect" => full.connects(time),
            other => Err(format!("no operation {other:?}").into()),
        }
    })
}

#[derive(Clone, Copy)]
struct Server {
    address: SocketAddr,
    id: [u8; 32],
}

struct Client {
    node: Node,
    server: Server,
}

impl Client {
    fn open(server: Server, resumes: bool) -> Result<Self, Failure> {
        let node = Node::open(false, resumes)?;
        Ok(Self { node, server })
    }

    /// As many bytes as fit into `time`, over one stream, until the server has counted them.
    fn stream(&self, time: Duration) -> Result<Value, Failure> {
        let link = self.dial()?;
        self.submit(Command::OpenStream {
            operation: STREAM,
            link,
            class: TrafficClass::new(4).ok_or("there is no class for bulk")?,
            protocol: SINK,
            time: TIME,
        })?;
        let stream = self.stream_done()?;
        let chunk = vec![7; CHUNK_BYTES];
        let (started, cpu) = (Instant::now(), cpu_seconds());
        while started.elapsed() < time {
            if self.node.endpoint.write(stream, &chunk)? {
                self.wait(|event| matches!(event, Event::StreamWritable { .. }).then_some(()))?;
            }
        }
        self.node.endpoint.finish(stream, STREAM)?;
        self.stream_done()?;
        let count = self.counted(stream)?;
        let (elapsed, cpu) = (started.elapsed(), cpu_seconds() - cpu);
        self.node.endpoint.release(stream);
        self.hang_up(link)?;
        Ok(measured(count, elapsed, cpu))
    }

    /// Requests on fresh streams, `in_flight` at any time.
    fn requests(&self, time: Duration, in_flight: usize, bytes: usize) -> Result<Value, Failure> {
        let link = self.dial()?;
        let message = message(REQUEST, bytes);
        let ask = |operation| Command::Request {
            link,
            question: question(operation, message.clone()),
        };
        let (started, cpu) = (Instant::now(), cpu_seconds());
        let mut asked_at = vec![started; in_flight];
        let mut took_micros = Vec::new();
        let mut waiting = in_flight;
        let count = OperationId::try_from(in_flight)?;
        let mut batch: Vec<_> = (FIRST_REQUEST..FIRST_REQUEST + count).map(ask).collect();
        while waiting > 0 {
            self.node.endpoint.submit(std::mem::take(&mut batch))?;
            let mut next = Some(self.node.events.recv()?);
            while let Some(event) = next {
                if let Event::Answered { operation, result } = event {
                    check(result?.len() == bytes, "the answer is the question")?;
                    let asked_at = &mut asked_at[(operation - FIRST_REQUEST) as usize];
                    let now = Instant::now();
                    took_micros.push((now - *asked_at).as_secs_f64() * 1e6);
                    *asked_at = now;
                    if started.elapsed() < time {
                        batch.push(ask(operation));
                    } else {
                        waiting -= 1;
                    }
                }
                next = self.node.events.try_recv().ok();
            }
        }
        let (elapsed, cpu) = (started.elapsed(), cpu_seconds() - cpu);
        self.hang_up(link)?;
        Ok(with_percentiles(
            measured(took_micros.len() as u64, elapsed, cpu),
            took_micros,
        ))
    }

    /// Handshakes with one request each, one after the other.
    fn connects(&self, time: Duration) -> Result<Value, Failure> {
        let message = message(IDEMPOTENT_REQUEST, 64);
        // The session to resume, where there is one, is made before the clock runs.
        self.connect_and_ask(&message)?;
        let (started, cpu) = (Instant::now(), cpu_seconds());
        let mut took_micros = Vec::new();
        while started.elapsed() < time {
            let asked = Instant::now();
            self.connect_and_ask(&message)?;
            took_micros.push(asked.elapsed().as_secs_f64() * 1e6);
        }
        let (elapsed, cpu) = (started.elapsed(), cpu_seconds() - cpu);
        Ok(with_percentiles(
            measured(took_micros.len() as u64, elapsed, cpu),
            took_micros,
        ))
    }

    fn connect_and_ask(&self, message: &Bytes) -> Result<(), Failure> {
        self.start_dial(Some(question(FIRST_REQUEST, message.clone())))?;
        let (mut link, mut answer) = (None, None);
        self.wait(|event| {
            match event {
                Event::Dialled { result, .. } => link = Some(result.clone()),
                Event::Answered { result, .. } => answer = Some(result.clone()),
                _ => {}
            }
            link.clone().zip(answer.clone())
        })
        .and_then(|(link, answer)| {
            check(answer?.len() == message.len() - 4, "the answer is the question")?;
            self.hang_up(link?)
        })
    }

    fn dial(&self) -> Result<LinkId, Failure> {
        self.start_dial(None)?;
        let dialled = self.wait(|event| match event {
            Event::Dialled { result, .. } => Some(result.clone()),
            _ => None,
        })?;
        Ok(dialled?)
    }

    fn start_dial(&self, first: Option<Question>) -> Result<(), Failure> {
        self.submit(Command::Dial {
            operation: DIAL,
            expected: Some(self.server.id),
            addresses: vec![self.server.address],
            time: TIME,
            first,
        })
    }

    /// Nobody waits for the end, as with quinn: the next dial makes a connection of its own.
    fn hang_up(&self, link: LinkId) -> Result<(), Failure> {
        let code = VarInt::from_u32(0);
        self.submit(Command::CloseLink { link, code })
    }

    fn stream_done(&self) -> Result<StreamId, Failure> {
        let done = self.wait(|event| match event {
            Event::StreamDone { result, .. } => Some(result.clone()),
            _ => None,
        })?;
        Ok(done?)
    }

    fn counted(&self, stream: StreamId) -> Result<u64, Failure> {
        let mut answer = [0; 8];
        let mut filled = 0;
        while filled < answer.len() {
            match self.node.endpoint.read(stream, &mut answer[filled..])? {
                Read::Bytes(count) => filled += count,
                Read::Wait => {
                    self.wait(|event| matches!(event, Event::StreamReadable { .. }).then_some(()))?
                }
                Read::End => return Err("the server did not say how much came".into()),
            }
        }
        Ok(u64::from_le_bytes(answer))
    }

    fn submit(&self, command: Command) -> Result<(), Failure> {
        Ok(self.node.endpoint.submit(vec![command])?)
    }

    /// Waits for an event that `find` takes something from; others before it are dropped.
    fn wait<T>(&self, mut find: impl FnMut(&Event) -> Option<T>) -> Result<T, Failure> {
        loop {
            if let Some(found) = find(&self.node.events.recv_timeout(TIME)?) {
                return Ok(found);
            }
        }
    }
}

fn question(operation: OperationId, message: Bytes) -> Question {
    Question {
        operation,
        message,
        time: TIME,
        max_response_bytes: 1024,
    }
}

/// Header (kind, the class of requests, protocol) and body.
fn message(kind: u8, bytes: usize) -> Bytes {
    let mut message = BytesMut::new();
    message.put_slice(&[kind, 1]);
    message.put_u16_le(ECHO);
    message.put_bytes(7, bytes);
    message.freeze()
}

fn id_of(hex: &str) -> Result<[u8; 32], Failure> {
    let bytes: Result<Vec<u8>, _> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2).unwrap_or_default(), 16))
        .collect();
    bytes?.try_into().map_err(|_| "an id has 32 bytes".into())
}

fn check(right: bool, what: &str) -> Result<(), Failure> {
    if right {
        Ok(())
    } else {
        Err(format!("wrong result: {what}").into())
    }
}
