//! The side that answers.

use std::{collections::HashMap, fmt::Write as _};

use espalier_bench_native::commands::{Failure, say, serve};
use espalier_transport::{
    Read,
    endpoint::Command,
    events::{Event, StreamId},
};
use serde_json::json;

use crate::node::{CHUNK_BYTES, Node};

pub fn run() -> Result<(), Failure> {
    let node = Node::open(true, true)?;
    let id = node.id.iter().fold(String::new(), |mut hex, byte| {
        // Writing into a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    say(&json!({ "address": node.address().to_string(), "id": id }))?;
    std::thread::spawn(move || Server::new(node).answer());
    serve(|command| Err(format!("no operation {:?}", command.op()).into()))
}

struct Server {
    node: Node,
    /// Bytes of each open stream. Bounded by the streams of one client.
    counts: HashMap<StreamId, u64>,
    slab: Vec<u8>,
}

impl Server {
    fn new(node: Node) -> Self {
        Self {
            node,
            counts: HashMap::new(),
            slab: vec![0; CHUNK_BYTES],
        }
    }

    fn answer(mut self) {
        while let Ok(first) = self.node.events.recv() {
            let mut answers = Vec::new();
            let mut next = Some(first);
            while let Some(event) = next {
                match event {
                    Event::Request { request, body, .. } | Event::EarlyRequest { request, body, .. } => {
                        answers.push(Command::Answer {
                            request,
                            answer: Ok(body),
                        });
                    }
                    Event::StreamOpened { stream, .. } => {
                        self.counts.insert(stream, 0);
                        self.count(stream);
                    }
                    Event::StreamReadable { stream } => self.count(stream),
                    Event::StreamDone { result, .. } => {
                        if let Ok(stream) = result {
                            self.node.endpoint.release(stream);
                        }
                    }
                    _ => {}
                }
                next = self.node.events.try_recv().ok();
            }
            if !answers.is_empty() && self.node.endpoint.submit(answers).is_err() {
                return;
            }
        }
    }

    /// Reads what is there; at the end the count goes back.
    fn count(&mut self, stream: StreamId) {
        let Some(count) = self.counts.get_mut(&stream) else {
            return;
        };
        loop {
            match self.node.endpoint.read(stream, &mut self.slab) {
                Ok(Read::Bytes(read)) => *count += read as u64,
                Ok(Read::Wait) => return,
                Ok(Read::End) => {
                    let answer = count.to_le_bytes();
                    self.counts.remove(&stream);
                    let answered = self.node.endpoint.write(stream, &answer).is_ok()
                        && self.node.endpoint.finish(stream, stream).is_ok();
                    if !answered {
                        self.node.endpoint.release(stream);
                    }
                    return;
                }
                Err(_) => {
                    self.counts.remove(&stream);
                    return self.node.endpoint.release(stream);
                }
            }
        }
    }
}
