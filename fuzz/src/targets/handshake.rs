//! TLS messages that were changed on their way, before packet protection hides them: both sides of a handshake by our
//! own configurations.

use std::sync::{Arc, OnceLock};

use espalier_core::{
    identity::{NODE_ID_BYTES, node_id},
    sign::SigningKey,
};
use espalier_transport::fuzz::{self, Sessions};
use quinn::crypto::Session;
use quinn_proto::{Side, transport_parameters::TransportParameters};

use crate::{Target, input::Input};

/// First byte: 0, edits of an honest handshake follow; 1, the client's hello; 2, what the client sends after the
/// server's flight; 3, what the server sends after its hello.
pub(super) const TARGET: Target = Target {
    name: "handshake",
    run: |data| {
        let mut input = Input::new(data);
        match input.u8() % 4 {
            0 => edited(input),
            1 => {
                let _ = server().read_handshake(input.rest());
            }
            mode => replaced(mode, input.rest()),
        }
    },
    seeds: || {
        let mut seeds = vec![vec![0]];
        // One edit for each message that is sent before the handshake is done.
        seeds.extend((0..5).map(|message| vec![0, message, 0, 60, 0, 1]));
        let mut flights: [Vec<u8>; 4] = Default::default();
        let (mut client, mut server) = (client(), server());
        let hello = messages(client.as_mut());
        let answer = hello
            .iter()
            .flat_map(|message| deliver(message, server.as_mut()))
            .collect::<Vec<_>>();
        let end = answer
            .iter()
            .flat_map(|message| deliver(message, client.as_mut()))
            .collect::<Vec<_>>();
        flights[1] = hello.concat();
        flights[2] = end.concat();
        flights[3] = answer.get(1..).unwrap_or_default().concat();
        for (mode, flight) in (1_u8..).zip(&flights[1..]) {
            seeds.push([&[mode][..], flight].concat());
        }
        seeds
    },
    mutations: 40_000,
    max_bytes: 16_384,
    // Both sides of a handshake, of which the provider's tables are the most.
    memory: |given| 16 * given + (2 << 20),
};

/// Edits of five bytes: which message, how, where, with what.
fn edited(mut input: Input<'_>) {
    let mut edits = Vec::new();
    while !input.is_empty() && edits.len() < 16 {
        edits.push((
            input.u8() % 8,
            input.u8() % 4,
            usize::from(input.u16()),
            input.u8(),
        ));
    }
    let (mut client, mut server) = (client(), server());
    let mut changed = false;
    let mut sent = 0;
    let mut from_client = true;
    // Four flights end every handshake that ends at all; a fifth would be tickets.
    for _ in 0..4 {
        let (sender, receiver) = if from_client {
            (&mut client, &mut server)
        } else {
            (&mut server, &mut client)
        };
        for message in messages(sender.as_mut()) {
            let mut travelled = message.clone();
            let under_way = receiver.is_handshaking();
            for &(which, how, at, value) in &edits {
                if which == sent && under_way {
                    edit(&mut travelled, how, at, value);
                }
            }
            sent += 1;
            changed |= travelled != message;
            if receiver.read_handshake(&travelled).is_err() {
                assert!(changed, "an honest handshake goes through");
                return;
            }
        }
        from_client = !from_client;
        if !client.is_handshaking() && !server.is_handshaking() {
            break;
        }
    }
    let done = !client.is_handshaking() && !server.is_handshaking();
    assert_eq!(done, !changed, "only an honest handshake ends well");
    if done {
        assert_eq!(
            (proved(server.as_ref()), proved(client.as_ref())),
            (Some(id(CLIENT)), Some(id(SERVER)))
        );
    }
}

fn edit(message: &mut Vec<u8>, how: u8, at: usize, value: u8) {
    let at = at % message.len().max(1);
    match how {
        0 if !message.is_empty() => message[at] ^= value,
        1 => message.truncate(at),
        2 => message.insert(at, value),
        _ => {
            let piece = message[at..]
                .iter()
                .copied()
                .take(usize::from(value))
                .collect::<Vec<_>>();
            message.splice(at..at, piece);
        }
    }
}

/// One flight that somebody made up, in an otherwise honest handshake.
fn replaced(mode: u8, flight: &[u8]) {
    let (mut client, mut server) = (client(), server());
    for message in messages(client.as_mut()) {
        server.read_handshake(&message).expect("an honest hello");
    }
    let mut answer = messages(server.as_mut()).into_iter();
    let hello = answer.next().expect("a server that was greeted answers");
    client.read_handshake(&hello).expect("an honest hello");
    if mode == 3 {
        let _ = client.read_handshake(flight);
        assert!(client.is_handshaking(), "nobody knows the keys of this handshake");
        return;
    }
    for message in answer {
        client.read_handshake(&message).expect("an honest flight");
    }
    let honest = messages(client.as_mut()).concat();
    let _ = server.read_handshake(flight);
    assert!(
        server.is_handshaking() || flight == honest,
        "nobody knows the keys of this handshake"
    );
}

/// What `side` has to send, one piece for each level of encryption.
fn messages(side: &mut dyn Session) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    loop {
        let mut message = Vec::new();
        let keys = side.write_handshake(&mut message);
        if !message.is_empty() {
            messages.push(message);
        } else if keys.is_none() {
            return messages;
        }
    }
}

fn deliver(message: &[u8], to: &mut dyn Session) -> Vec<Vec<u8>> {
    to.read_handshake(message).expect("an honest message");
    messages(to)
}

fn client() -> Box<dyn Session> {
    let session = configs()
        .0
        .clone()
        .start_session(VERSION, "any-node.invalid", &parameters(Side::Server));
    session.expect("the name is one")
}

fn server() -> Box<dyn Session> {
    configs()
        .1
        .clone()
        .start_session(VERSION, &parameters(Side::Client))
}

fn configs() -> &'static Sessions {
    static CONFIGS: OnceLock<Sessions> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        let sessions = |seed| fuzz::sessions(&key(seed)).expect("the library takes our configuration");
        (sessions(CLIENT).0, sessions(SERVER).1)
    })
}

fn parameters(side: Side) -> TransportParameters {
    TransportParameters::read(side, &mut &[][..]).expect("every parameter has a default")
}

fn proved(session: &dyn Session) -> Option<[u8; NODE_ID_BYTES]> {
    fuzz::proved_id(session.peer_identity()?.as_ref())
}

fn id(seed: u8) -> [u8; NODE_ID_BYTES] {
    node_id(key(seed).public_key())
}

fn key(seed: u8) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed(&[seed; 32]).expect("every seed has a key"))
}

/// QUIC 1.
const VERSION: u32 = 1;
const CLIENT: u8 = 1;
const SERVER: u8 = 2;
