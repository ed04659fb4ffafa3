//! A handshake that a peer began, up to the link that it ends in. A peer that resumes a session is known before
//! the handshake is done, and may ask early (0-RTT) what may be answered more than once.

use std::sync::Arc;

use espalier_core::identity::NODE_ID_BYTES;
use quinn::{Connection, Incoming, VarInt, ZeroRttAccepted};
use tokio::{sync::watch, time::timeout};

use crate::{
    counters::{Direction, Handshake},
    flow::Flow,
    link::{self, Carrier, Link},
    mux::from_v6,
    places::Place,
    serve,
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
    let (unproved, kind) = match finished {
        Ok(Some(finished)) => finished,
        Ok(None) => return count(Handshake::Failed),
        Err(_) => return count(Handshake::TimedOut),
    };
    match tls::peer_id(&unproved.connection) {
        Some(peer) if peer != shared.local_id => {
            count(kind);
            let (connection, flow) = unproved.proved();
            attached.send_replace(Some(link::attach(&shared, connection, flow, peer, false)));
        }
        _ => count(Handshake::Failed),
    }
}

/// A connection whose peer has not proved its id. It is closed when that comes to nothing: the early requests that are
/// being served hold it too, and would keep it for as long as the peer likes.
struct Unproved {
    connection: Connection,
    flow: Arc<Flow>,
    is_proved: bool,
}

impl Unproved {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            flow: Arc::new(Flow::new()),
            is_proved: false,
        }
    }

    fn proved(mut self) -> (Connection, Arc<Flow>) {
        self.is_proved = true;
        (self.connection.clone(), self.flow.clone())
    }
}

impl Drop for Unproved {
    fn drop(&mut self) {
        if !self.is_proved {
            self.connection
                .close(VarInt::from_u32(0), b"no other node's id was proved");
        }
    }
}

/// The connection once its handshake is done and the peer has proved its key.
async fn finish(
    shared: &Arc<Shared>,
    incoming: Incoming,
    server: Arc<quinn::ServerConfig>,
    outcome: &Outcome,
) -> Option<(Unproved, Handshake)> {
    let mut connecting = incoming.accept_with(server).ok()?;
    connecting.handshake_data().await.ok()?;
    // It succeeds for every server. What is sent before the handshake is done answers early requests only.
    let (connection, mut done) = connecting.into_0rtt().ok()?;
    let unproved = Unproved::new(connection);
    let kind = match tls::peer_id(&unproved.connection) {
        // Only a session that is resumed names the peer before the peer proves its key again.
        Some(peer) if peer != shared.local_id => {
            serve_early(shared, &unproved, peer, &mut done, outcome).await;
            Handshake::Resumed
        }
        _ => {
            done.await;
            Handshake::Full
        }
    };
    let is_open = unproved.connection.close_reason().is_none();
    is_open.then_some((unproved, kind))
}

/// Takes streams until the handshake is done; the link takes what comes later.
async fn serve_early(
    shared: &Arc<Shared>,
    unproved: &Unproved,
    peer: [u8; NODE_ID_BYTES],
    done: &mut ZeroRttAccepted,
    outcome: &Outcome,
) {
    let connection = &unproved.connection;
    loop {
        tokio::select! {
            biased;
            _ = &mut *done => return,
            stream = connection.accept_bi() => {
                let Ok((send, receive)) = stream else { return };
                let early = serve::Early {
                    peer,
                    remote: from_v6(connection.remote_address()),
                    connection: connection.clone(),
                    flow: unproved.flow.clone(),
                    outcome: outcome.clone(),
                };
                tokio::spawn(serve::serve_early_stream(shared.clone(), early, send, receive));
            }
        }
    }
}
