//! A handshake whose last packets are lost: the client believes in it, and the server does not.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::time::{Duration, Instant};

use common::{conditions::Conditions, peer::Peer, proxy::Proxy};
use espalier_transport::limits::HANDSHAKE_TIME;

#[test]
fn a_client_whose_server_never_confirmed_gives_up_soon_and_no_other_client_does() {
    let (alice, bob, carol) = (Peer::start(230), Peer::start(231), Peer::start(232));
    let confirmed = carol.dial(bob.id, bob.address()).unwrap();
    let proxy = Proxy::start(bob.address(), Conditions::delay(5), 1);
    // The hello, and not the key and the proof.
    proxy.to_server(|wire| wire.passes_at_most = 2);
    let begun = Instant::now();
    let link = alice.dial(bob.id, proxy.address()).unwrap();
    let stream = alice.open(link, 4).unwrap();
    // Nor does the server's word come through that it has given up.
    proxy.to_client(|wire| wire.is_silent = true);

    let (answer, at) = alice.outcome(alice.start_ask(link, 1, b"?", Duration::from_secs(50)));

    let took = at - begun;
    println!("given up after {took:?}");
    assert_eq!(answer.unwrap_err().code(), "CONNECTION_LOST");
    // Idleness would end it after 30 s.
    assert!(took >= HANDSHAKE_TIME && took < 4 * HANDSHAKE_TIME, "{took:?}");
    let (closed, reason) = alice.wait(|happened| happened.closed.pop());
    assert_eq!((closed, reason.code()), (link, "CONNECTION_LOST"));
    // What went over it was lost too, and not closed by this side.
    for ended in [stream.read(&mut [0]).map(drop), stream.finish()] {
        assert_eq!(ended.unwrap_err().code(), "CONNECTION_LOST");
    }
    assert_eq!(
        carol.ask(confirmed, 1, b"still here").unwrap(),
        &b"still here"[..]
    );
    assert!(carol.wait(|happened| Some(happened.closed.is_empty())));
}
