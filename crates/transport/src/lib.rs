//! Espalier's transport: QUIC with pure post-quantum TLS 1.3 over one multiplexed UDP port. Requests,
//! streams and datagrams over one connection for each pair of nodes.
//!
//! An [`endpoint::Endpoint`] runs on a thread of its own. Its owner submits [`endpoint::Command`]s in batches
//! and gets [`events::Event`]s through an [`events::EventSink`]; nothing here blocks the owner's thread.

mod accept;
mod address_rate;
mod backlog;
mod base32;
mod bucket;
pub mod budget;
pub mod counters;
mod datagram;
mod dial;
mod driver;
pub mod endpoint;
pub mod error;
pub mod events;
mod flood;
mod flow;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod held;
pub mod limits;
mod link;
mod long_header;
mod message;
mod mux;
mod places;
mod pump;
mod recent;
mod request;
mod rounds;
mod sending;
mod serve;
mod shared;
mod stats;
mod stream;
pub mod tls;
mod unvalidated;
mod waiting;
mod window;
mod wire;

pub use address_rate::AddressRates;
pub use bucket::Rate;
pub use quinn::VarInt;
pub use stats::LinkStats;
pub use stream::Read;
pub use wire::{Refusal, TrafficClass};
