//! An endpoint whose events its owner takes from a channel, on a thread of the owner's, as the addon's owner does.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc},
};

use espalier_bench_native::commands::Failure;
use espalier_core::{identity::node_id, sign::SigningKey};
use espalier_transport::{
    endpoint::{Endpoint, EndpointOptions},
    events::{Event, EventSink},
};

/// The body comes back.
pub const ECHO: u16 = 0xff01;
/// The stream's bytes are counted, and the count comes back as eight bytes, little-endian.
pub const SINK: u16 = 0xff02;
/// What is read or written at once, as the other contestants do.
pub const CHUNK_BYTES: usize = 256 << 10;

pub struct Node {
    pub endpoint: Endpoint,
    pub id: [u8; 32],
    pub events: mpsc::Receiver<Event>,
}

impl Node {
    pub fn open(accepts: bool, resumes: bool) -> Result<Self, Failure> {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed)?;
        let key = Arc::new(SigningKey::from_seed(&seed)?);
        let id = node_id(key.public_key());
        let (sender, events) = mpsc::channel();
        let options = EndpointOptions {
            key,
            hosts: vec![Ipv4Addr::LOCALHOST.into()],
            port: 0,
            accepts,
            resumes,
        };
        let endpoint = Endpoint::open(options, Arc::new(Channel(sender)))?;
        Ok(Self { endpoint, id, events })
    }

    pub fn address(&self) -> SocketAddr {
        self.endpoint.addresses()[0]
    }
}

struct Channel(mpsc::Sender<Event>);

impl EventSink for Channel {
    fn push(&self, event: Event) {
        // Refused only once the owner is gone.
        let _ = self.0.send(event);
    }

    fn waiting_bytes(&self) -> usize {
        0
    }
}
