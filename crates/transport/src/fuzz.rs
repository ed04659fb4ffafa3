//! What the fuzz targets and their oracles need of this crate's inside. Only with the feature `fuzzing`.

use std::{any::Any, sync::Arc};

use bytes::Bytes;
use espalier_core::{identity::NODE_ID_BYTES, sign::SigningKey};
use quinn::{
    EndpointConfig, TransportConfig,
    crypto::{ClientConfig, ServerConfig},
    udp::RecvMeta,
};

use crate::{
    driver,
    error::TransportError,
    limits::{Path, transport_config},
    mux, tls,
    wire::{self, Header, Refusal},
};

/// Bytes in front of everything that a stream carries.
pub const HEADER_BYTES: usize = wire::HEADER_BYTES;

/// The header of a stream, decoded and encoded again, with the priority that its class has.
///
/// # Errors
///
/// As the decoder.
pub fn stream_header(bytes: [u8; HEADER_BYTES]) -> Result<([u8; HEADER_BYTES], i32), TransportError> {
    Header::decode(bytes).map(|header| (header.encode(), header.class.priority()))
}

/// Protocol and body of a datagram.
pub fn split_datagram(bytes: Bytes) -> Option<(u16, Bytes)> {
    wire::split_datagram(bytes)
}

/// The body of an answer.
///
/// # Errors
///
/// As the decoder: also what the answer itself says.
pub fn decode_answer(bytes: Bytes) -> Result<Bytes, TransportError> {
    wire::decode_answer(bytes)
}

/// An answer as it travels.
pub fn encode_answer(answer: &Result<Bytes, Refusal>) -> Bytes {
    wire::encode_answer(answer)
}

/// Takes out what is not QUIC and answers how many packets that were.
pub fn keep_quic(buffer: &mut [u8], meta: &mut RecvMeta) -> usize {
    mux::keep_quic(buffer, meta, |_| true)
}

/// The ML-DSA-65 key in a `SubjectPublicKeyInfo`.
pub fn public_key(spki: &[u8]) -> Option<&[u8]> {
    tls::public_key(spki)
}

/// The id that a session proved, from its `peer_identity`.
pub fn proved_id(identity: &dyn Any) -> Option<[u8; NODE_ID_BYTES]> {
    tls::proved_id(identity)
}

/// What begins a TLS session, on the client's and on the server's side.
pub type Sessions = (Arc<dyn ClientConfig>, Arc<dyn ServerConfig>);

/// Sessions that prove `key`.
///
/// # Errors
///
/// As opening an endpoint.
pub fn sessions(key: &Arc<SigningKey>) -> Result<Sessions, TransportError> {
    let (client, server, _) = tls::sessions(key, true)?;
    Ok((Arc::new(client), Arc::new(server)))
}

/// The configuration that every endpoint has.
///
/// # Errors
///
/// As opening an endpoint.
pub fn endpoint_config(key: &SigningKey) -> Result<EndpointConfig, TransportError> {
    driver::endpoint_config(key)
}

/// The configuration of connections with other machines.
pub fn public_transport_config(dialling: bool) -> Arc<TransportConfig> {
    transport_config(dialling, Path::Public)
}
