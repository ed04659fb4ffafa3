//! The door: which handshakes may begin, before anything costly is done for them.

use std::{sync::Arc, time::Instant};

use quinn::Incoming;

use crate::{
    address_rate::AddressRate,
    counters::{Direction, Handshake, Refused},
    handshake::welcome,
    limits::PerPath,
    places::{Place, Taking},
    shared::Shared,
};

/// Lets handshakes in until the endpoint closes.
pub(crate) async fn accept(
    shared: Arc<Shared>,
    endpoint: quinn::Endpoint,
    servers: PerPath<Arc<quinn::ServerConfig>>,
) {
    let mut rate = AddressRate::new(shared.limits.address_rates);
    while let Some(incoming) = endpoint.accept().await {
        match judge(&shared, &incoming, &mut rate) {
            Verdict::Welcome(place) => {
                let number = place.number();
                let server = servers.to(incoming.remote_address().ip()).clone();
                let task = tokio::spawn(welcome(shared.clone(), incoming, server, place));
                shared.places.occupy(number, task.abort_handle());
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
    Welcome(Place),
    /// No packet goes back.
    Ignore,
    /// One packet says no.
    Refuse,
    /// One packet asks the address to prove itself.
    Retry,
}

fn judge(shared: &Shared, incoming: &Incoming, rate: &mut AddressRate) -> Verdict {
    let address = incoming.remote_address().ip();
    let is_proved = incoming.remote_address_validated();
    let now = Instant::now();
    if !is_proved && shared.places.len() >= shared.limits.retry_above {
        return Verdict::Retry;
    }
    if !rate.allows(address, is_proved, now) {
        shared.counters.refuse(Refused::AddressRate);
        return if is_proved {
            Verdict::Refuse
        } else {
            Verdict::Retry
        };
    }
    match shared
        .places
        .take(shared.limits.handshakes, address, is_proved, now)
    {
        Taking::Free(place) => Verdict::Welcome(place),
        Taking::InsteadOf(place) => {
            shared.counters.handshake(Direction::Inbound, Handshake::TimedOut);
            Verdict::Welcome(place)
        }
        Taking::Full => {
            shared.counters.refuse(Refused::Handshakes);
            Verdict::Ignore
        }
    }
}
