//! A handshake that a peer began, up to the link that it ends in. A peer that resumes a session is known before
//! the handshake is done, and may ask early (0-RTT) what may be answered more than once.

use std::sync::Arc;

use espalier_core::identity::NODE_ID_BYTES;
use quinn::{Connection, Incoming, VarInt, ZeroRttAccepted};
use tokio::{sync::watch, time::timeout};

use crate::{
    counters::{Direction, Handshake},
    link::{self, Carrier, Link},
    places::Place,
    request,
    shared::Shared,
    tls,
};

/// What a handshake ends in; the sender is dropped when it ends in nothing.
pub(crate) type Outcome = watch::Receiver<Option<(Arc<Link>, Arc<Carrier>)>>;

/// Answers one handshake; `place` is given back when it has ended.
pub(crate) async fn welcome(
    shared: Arc<Shared>,
    incoming: Incoming,
    server: Arc<quinn::ServerConfig>,
    place: Place,
) {
    let (attached, outcome) = watch::channel(None);
    let finished = timeout(
        shared.limits.handshake_time,
        finish(&shared, incoming, server, &outcome),
    )
    .await;
    drop(place);
    let count = |outcome| shared.counters.handshake(Direction::Inbound, outcome);
    let (connection, kind) = match finished {
        Ok(Some(finished)) => finished,
        Ok(None) => return count(Handshake::Failed),
        Err(_) => return count(Handshake::TimedOut),
    };
    match tls::peer_id(&connection) {
        Some(peer) if peer != shared.local_id => {
            count(kind);
            attached.send_replace(Some(link::attach(&shared, connection, peer, false)));
        }
        _ => {
            count(Handshake::Failed);
            connection.close(VarInt::from_u32(0), b"no other node's id was proved");
        }
    }
}

/// The connection once its handshake is done and the peer has proved its key.
async fn finish(
    shared: &Arc<Shared>,
    incoming: Incoming,
    server: Arc<quinn::ServerConfig>,
    outcome: &Outcome,
) -> Option<(Connection, Handshake)> {
    let mut connecting = incoming.accept_with(server).ok()?;
    connecting.handshake_data().await.ok()?;
    // It succeeds for every server. What is sent before the handshake is done answers early requests only.
    let (connection, mut done) = connecting.into_0rtt().ok()?;
    let kind = match tls::peer_id(&connection) {
        // Only a session that is resumed names the peer before the peer proves its key again.
        Some(peer) if peer != shared.local_id => {
            serve_early(shared, &connection, peer, &mut done, outcome).await;
            Handshake::Resumed
        }
        _ => {
            done.await;
            Handshake::Full
        }
    };
    connection.close_reason().is_none().then_some((connection, kind))
}

/// Takes streams until the handshake is done; the link takes what comes later.
async fn serve_early(
    shared: &Arc<Shared>,
    connection: &Connection,
    peer: [u8; NODE_ID_BYTES],
    done: &mut ZeroRttAccepted,
    outcome: &Outcome,
) {
    loop {
        tokio::select! {
            biased;
            _ = &mut *done => return,
            stream = connection.accept_bi() => {
                let Ok((send, receive)) = stream else { return };
                let early = request::Early {
                    peer,
                    remote: crate::mux::from_v6(connection.remote_address()),
                    outcome: outcome.clone(),
                };
                tokio::spawn(request::serve_early_stream(shared.clone(), early, send, receive));
            }
        }
    }
}
