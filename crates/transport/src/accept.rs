//! The door: which handshakes may begin, before anything costly is done for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use quinn::Incoming;

use crate::{
    address_rate::AddressRate, counters::Refused, handshake::welcome, limits::PerPath, shared::Shared,
};

/// Lets handshakes in until the endpoint closes.
pub(crate) async fn accept(
    shared: Arc<Shared>,
    endpoint: quinn::Endpoint,
    servers: PerPath<Arc<quinn::ServerConfig>>,
) {
    let under_way = shared.handshakes.clone();
    let mut rate = AddressRate::new(shared.limits.address_rates);
    while let Some(incoming) = endpoint.accept().await {
        let handshakes = under_way.load(Ordering::Relaxed);
        match judge(&shared, &incoming, handshakes, &mut rate) {
            Verdict::Welcome => {
                let place = UnderWay::new(&under_way);
                let server = servers.to(incoming.remote_address().ip()).clone();
                tokio::spawn(welcome(shared.clone(), incoming, server, place));
            }
            Verdict::Ignore => incoming.ignore(),
            Verdict::Refuse => incoming.refuse(),
            Verdict::Retry => {
                shared.counters.refuse(Refused::Retry);
                // It fails only for an address that was proved, and those are not asked.
                let _ = incoming.retry();
            }
        }
    }
}

/// What becomes of a handshake that wants to begin.
enum Verdict {
    Welcome,
    /// No packet goes back.
    Ignore,
    /// One packet says no.
    Refuse,
    /// One packet asks the address to prove itself.
    Retry,
}

fn judge(shared: &Shared, incoming: &Incoming, handshakes: usize, rate: &mut AddressRate) -> Verdict {
    let proved = incoming.remote_address_validated();
    if handshakes >= shared.limits.handshakes {
        shared.counters.refuse(Refused::Handshakes);
        Verdict::Ignore
    } else if handshakes >= shared.limits.retry_above && !proved {
        Verdict::Retry
    } else if rate.allows(incoming.remote_address().ip(), proved, Instant::now()) {
        Verdict::Welcome
    } else {
        shared.counters.refuse(Refused::AddressRate);
        if proved { Verdict::Refuse } else { Verdict::Retry }
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
