//! The door: which handshakes may begin, before anything costly is done for them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    counters::Refused,
    handshake::welcome,
    limits::{MAX_HANDSHAKES, PerPath, RETRY_ABOVE},
    shared::Shared,
};

/// Lets handshakes in until the endpoint closes.
pub(crate) async fn accept(
    shared: Arc<Shared>,
    endpoint: quinn::Endpoint,
    servers: PerPath<Arc<quinn::ServerConfig>>,
) {
    let under_way = Arc::new(AtomicUsize::new(0));
    while let Some(incoming) = endpoint.accept().await {
        let handshakes = under_way.load(Ordering::Relaxed);
        if handshakes >= MAX_HANDSHAKES {
            shared.counters.refuse(Refused::Handshakes);
            incoming.ignore();
        } else if handshakes >= RETRY_ABOVE && !incoming.remote_address_validated() {
            shared.counters.refuse(Refused::Retry);
            // It fails only for a validated address, which was ruled out.
            let _ = incoming.retry();
        } else {
            let place = UnderWay::new(&under_way);
            let server = servers.to(incoming.remote_address().ip()).clone();
            tokio::spawn(welcome(shared.clone(), incoming, server, place));
        }
    }
}

/// Counts a handshake until it is dropped.
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
