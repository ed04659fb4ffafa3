//! What quinn tells nobody, seen by looking at every connection once a second: that a peer's address has changed, and
//! that a server never confirmed a handshake.
//!
//! The last packets of a handshake are the client's, with its key and its proof. When they are lost again and
//! again, the client has a connection that the server gave up after [`HANDSHAKE_TIME`]; and when the server's word of
//! that is lost too, nothing tells the client: before the handshake is confirmed it takes no stateless reset.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use quinn::VarInt;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    limits::HANDSHAKE_TIME,
    link::{Carrier, Link},
    mux::from_v6,
    shared::Shared,
};

const EVERY: Duration = Duration::from_secs(1);

/// Makes them until the endpoint closes.
pub(crate) async fn make(shared: Arc<Shared>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let links = shared.links.lock().all();
        for link in links {
            look(&shared, &link);
        }
    }
}

fn look(shared: &Shared, link: &Link) {
    let now = Instant::now();
    for carrier in link.carriers.lock().iter() {
        if !is_confirmed(carrier) && now.saturating_duration_since(carrier.since) >= HANDSHAKE_TIME {
            carrier.is_given_up.store(true, Ordering::Relaxed);
            carrier.connection.close(VarInt::from_u32(0), b"not confirmed");
        }
    }
    let Ok(carrier) = link.carrier() else { return };
    let remote = from_v6(carrier.connection.remote_address());
    if *link.told_remote.lock() != remote {
        shared.sink.push(link.moved(&carrier));
    }
}

/// Whether both sides know that the handshake is done (RFC 9001 §4.1.2). A server knows when it is.
fn is_confirmed(carrier: &Carrier) -> bool {
    if !carrier.outbound || carrier.is_confirmed.load(Ordering::Relaxed) {
        return true;
    }
    let is_confirmed = carrier.connection.stats().frame_rx.handshake_done > 0;
    carrier.is_confirmed.store(is_confirmed, Ordering::Relaxed);
    is_confirmed
}
