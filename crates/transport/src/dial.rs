//! From addresses to a connection: one attempt after another, the first that proves its id wins.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use espalier_core::identity::NODE_ID_BYTES;
use quinn::{Connection, ConnectionError, Endpoint, VarInt};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    counters::{Counters, Direction, EarlyData, Handshake},
    error::TransportError,
    events::LinkId,
    flow::Flow,
    limits::{DIAL_AGAIN, DIAL_STAGGER, HANDSHAKE_TIME, MAX_DIAL_ADDRESSES, PerPath},
    link,
    mux::to_v6,
    shared::Shared,
    tls,
};

/// Whom to dial, and how.
pub(crate) struct Dial {
    pub(crate) endpoint: Endpoint,
    pub(crate) configs: PerPath<quinn::ClientConfig>,
    pub(crate) expected: Option<[u8; NODE_ID_BYTES]>,
    /// Of the families that are bound.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) time: Duration,
    /// Told how far the dial is.
    pub(crate) progress: Arc<watch::Sender<Dialling>>,
}

/// How far a dial is, for the request that waits for it.
#[derive(Clone)]
pub(crate) enum Dialling {
    /// Nobody has answered yet.
    Started,
    /// A session is being resumed over this connection: what may be answered twice may go now.
    Early(Connection),
    /// It has ended.
    Done(Result<LinkId, TransportError>),
}

impl Dial {
    pub(crate) async fn run(self, shared: Arc<Shared>) -> Result<LinkId, TransportError> {
        let result = self.link(&shared).await;
        let before = self.progress.send_replace(Dialling::Done(result.clone()));
        if let Dialling::Early(early) = before {
            let link = result
                .as_ref()
                .ok()
                .and_then(|link| shared.links.lock().get(*link));
            if !link.is_some_and(|link| link.carries(&early)) {
                early.close(VarInt::from_u32(0), b"another attempt was faster");
            }
        }
        result
    }

    async fn link(&self, shared: &Arc<Shared>) -> Result<LinkId, TransportError> {
        if let Some(link) = self.expected.and_then(|peer| shared.links.lock().of_peer(&peer)) {
            return Ok(link);
        }
        let (connection, peer) = timeout(self.time, self.race(&shared.counters))
            .await
            .unwrap_or(Err(TransportError::Timeout))?;
        if peer == shared.local_id {
            connection.close(VarInt::from_u32(0), b"");
            return Err(TransportError::Refused(
                "the address is this node's own".to_owned(),
            ));
        }
        Ok(
            link::attach(shared, connection, Arc::new(Flow::new()), peer, true)
                .0
                .id,
        )
    }

    async fn race(
        &self,
        counters: &Arc<Counters>,
    ) -> Result<(Connection, [u8; NODE_ID_BYTES]), TransportError> {
        if self.addresses.is_empty() {
            return Err(TransportError::Unreachable(
                "there is no address of a family that is bound".to_owned(),
            ));
        }
        let mut waiting = self.addresses.iter().take(MAX_DIAL_ADDRESSES);
        let mut attempts = JoinSet::new();
        let mut worst = TransportError::Unreachable("every attempt timed out".to_owned());
        let mut next_at = Instant::now();
        loop {
            let more = waiting.len() > 0;
            if !more && attempts.is_empty() {
                return Err(worst);
            }
            tokio::select! {
                () = sleep_until(next_at), if more => {
                    if let Some(address) = waiting.next() {
                        let config = self.configs.to(address.ip()).clone();
                        let attempt = Attempt {
                            endpoint: self.endpoint.clone(),
                            config,
                            address: *address,
                            expected: self.expected,
                            progress: self.progress.clone(),
                            counters: counters.clone(),
                        };
                        attempts.spawn(attempt.run());
                    }
                    next_at = Instant::now() + DIAL_STAGGER;
                }
                Some(ended) = attempts.join_next() => match ended {
                    Ok(Ok(won)) => return Ok(won),
                    Ok(Err(error)) => {
                        if telling(&error) >= telling(&worst) {
                            worst = error;
                        }
                        next_at = Instant::now();
                    }
                    Err(_) => worst = TransportError::Internal("a dial panicked".to_owned()),
                }
            }
        }
    }
}

/// One address of a dial.
#[derive(Clone)]
struct Attempt {
    endpoint: Endpoint,
    config: quinn::ClientConfig,
    address: SocketAddr,
    expected: Option<[u8; NODE_ID_BYTES]>,
    progress: Arc<watch::Sender<Dialling>>,
    counters: Arc<Counters>,
}

/// A connection, who is there, and how the handshake went.
type Connected = (Connection, [u8; NODE_ID_BYTES], Handshake);

impl Attempt {
    async fn run(self) -> Result<(Connection, [u8; NODE_ID_BYTES]), TransportError> {
        let silence = || TransportError::Unreachable(format!("{}: no answer", self.address));
        let ended = timeout(HANDSHAKE_TIME, self.repeat()).await;
        let ended = ended.unwrap_or_else(|_| Err(silence()));
        let outcome = match &ended {
            Ok((_, _, kind)) => *kind,
            Err(TransportError::Unreachable(_)) => Handshake::TimedOut,
            Err(_) => Handshake::Failed,
        };
        self.counters.handshake(Direction::Outbound, outcome);
        ended.map(|(connection, peer, _)| (connection, peer))
    }

    /// Begins a handshake, and another one while there is no end of it; the first that ends, ends all.
    async fn repeat(&self) -> Result<Connected, TransportError> {
        let begin = Instant::now();
        let mut tries = JoinSet::new();
        tries.spawn(connect(self.clone()));
        let mut again = DIAL_AGAIN.iter().map(|after| begin + *after);
        let mut next = again.next();
        loop {
            tokio::select! {
                () = sleep_until(next.unwrap_or(begin)), if next.is_some() => {
                    tries.spawn(connect(self.clone()));
                    next = again.next();
                }
                Some(ended) = tries.join_next() => {
                    let panicked = |_| TransportError::Internal("a dial panicked".to_owned());
                    return ended.map_err(panicked)?;
                }
            }
        }
    }
}

async fn connect(attempt: Attempt) -> Result<Connected, TransportError> {
    let Attempt {
        endpoint,
        config,
        address,
        expected,
        progress,
        counters,
    } = attempt;
    let connecting = endpoint
        .connect_with(config, to_v6(address), &tls::server_name(expected.as_ref()))
        .map_err(|error| TransportError::Unreachable(format!("{address}: {error}")))?;
    let (connection, kind) = match connecting.into_0rtt() {
        Ok((connection, done)) => {
            progress.send_if_modified(|state| {
                let is_first = matches!(state, Dialling::Started);
                if is_first {
                    *state = Dialling::Early(connection.clone());
                }
                is_first
            });
            let accepted = done.await;
            if let Some(reason) = connection.close_reason() {
                return Err(refusal(&reason, address));
            }
            counters.early_data(if accepted {
                EarlyData::Accepted
            } else {
                EarlyData::Rejected
            });
            let kind = if accepted {
                Handshake::Resumed
            } else {
                Handshake::Full
            };
            (connection, kind)
        }
        Err(connecting) => {
            let connection = connecting.await.map_err(|error| refusal(&error, address))?;
            (connection, Handshake::Full)
        }
    };
    let peer = tls::peer_id(&connection).ok_or(TransportError::Protocol("the peer proved no id"))?;
    Ok((connection, peer, kind))
}

/// The more telling of two failures is reported: an answer says more than silence.
fn telling(error: &TransportError) -> u8 {
    match error {
        TransportError::Closed => 4,
        TransportError::Mismatch => 3,
        TransportError::Refused(_) | TransportError::Protocol(_) => 2,
        TransportError::Unreachable(_) => 1,
        _ => 0,
    }
}

fn refusal(error: &ConnectionError, address: SocketAddr) -> TransportError {
    match error {
        ConnectionError::TransportError(failure) if u64::from(failure.code) == tls::WRONG_NODE_CODE => {
            TransportError::Mismatch
        }
        ConnectionError::TimedOut => TransportError::Unreachable(format!("{address}: no answer")),
        ConnectionError::LocallyClosed => TransportError::Closed,
        other => TransportError::Refused(format!("{address}: {other}")),
    }
}
