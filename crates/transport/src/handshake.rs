//! A handshake that a peer began, up to the link that it ends in.

use std::sync::Arc;

use quinn::{Incoming, VarInt};
use tokio::time::timeout;

use crate::{accept::UnderWay, limits::HANDSHAKE_TIME, link, shared::Shared, tls};

/// Answers one handshake; `place` is given back when it has ended.
pub(crate) async fn welcome(
    shared: Arc<Shared>,
    incoming: Incoming,
    server: Arc<quinn::ServerConfig>,
    place: UnderWay,
) {
    let Ok(connecting) = incoming.accept_with(server) else {
        return;
    };
    let Ok(Ok(connection)) = timeout(HANDSHAKE_TIME, connecting).await else {
        return;
    };
    drop(place);
    match tls::peer_id(&connection) {
        Some(peer) if peer != shared.local_id => {
            link::attach(&shared, connection, peer, false);
        }
        _ => connection.close(VarInt::from_u32(0), b"no other node's id was proved"),
    }
}
