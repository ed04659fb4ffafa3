//! What the handshake promises: post-quantum or nothing, in one round trip.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{TestNode, conditions::Conditions, proxy::Proxy};
use espalier_transport::events::Event;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::{
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// 3 × 2,400: what a server may send to a client that has sent two packets of 1,200 (RFC 9000 §8.1).
const AMPLIFICATION_BUDGET_BYTES: usize = 7200;

#[test]
fn the_servers_first_flight_fits_the_budget_of_an_unvalidated_client() {
    // The longer the wire, the surer that nothing of a second flight is counted.
    let (alice, bob) = (TestNode::start(30), TestNode::start(31));
    let proxy = Proxy::start(bob.address(), Conditions::delay(100), 1);
    let link = alice.dial(Some(bob.id), proxy.address()).unwrap();
    // An answer comes after everything of the handshake has passed.
    alice.start_ask(link, b"?", Duration::from_secs(5));
    bob.echo_one();
    alice.wait(|event| matches!(event, Event::Answered { .. }).then_some(()));

    let passed = proxy.passed();
    let first = passed.iter().position(|packet| !packet.is_from_client()).unwrap();
    let flight_from = passed[first].at;
    // The client's next packets can't be here before another whole round trip.
    let flight: usize = passed
        .iter()
        .filter(|packet| !packet.is_from_client() && packet.at < flight_from + Duration::from_millis(150))
        .map(|packet| packet.bytes)
        .sum();
    println!("first flight of the server: {flight} of {AMPLIFICATION_BUDGET_BYTES} bytes");
    assert!(flight > 5000, "{flight} bytes are no post-quantum flight");
    assert!(flight <= AMPLIFICATION_BUDGET_BYTES, "{flight} bytes");

    // A server that had more to say would have stopped at the budget, and the client's own key and proof would
    // have come one round trip later: its next flight would be acknowledgements only.
    let second_flight_from = passed
        .iter()
        .find(|packet| !packet.is_from_client() && packet.at >= flight_from + Duration::from_millis(150))
        .map_or_else(std::time::Instant::now, |packet| packet.at);
    let proof: usize = passed
        .iter()
        .filter(|packet| packet.is_from_client() && packet.at > flight_from && packet.at < second_flight_from)
        .map(|packet| packet.bytes)
        .sum();
    assert!(
        proof > 5000,
        "the client answered the first flight with {proof} bytes"
    );
}

#[test]
fn classical_and_hybrid_clients_are_refused_by_an_alert() {
    let bob = TestNode::start(32);
    let classical: &[&[&'static dyn SupportedKxGroup]] = &[
        &[aws_lc_rs::kx_group::X25519],
        &[aws_lc_rs::kx_group::SECP256R1],
        &[aws_lc_rs::kx_group::X25519MLKEM768],
    ];
    for groups in classical {
        let error = dial(&bob, provider(groups), b"espalier/1").unwrap_err();
        assert!(
            error.contains("error 40") && error.contains("NoKxGroupsInCommon"),
            "{error}"
        );
    }
    // The same client with the right group gets further: it is refused for its missing key only.
    let error = dial(&bob, provider(&[aws_lc_rs::kx_group::MLKEM768]), b"espalier/1").unwrap_err();
    assert!(error.contains("IncorrectCertificateTypeExtension"), "{error}");
    let error = dial(&bob, provider(&[aws_lc_rs::kx_group::MLKEM768]), b"other/1").unwrap_err();
    assert!(error.contains("error 120"), "{error}");

    let ups = bob.drain(Duration::from_millis(100));
    assert!(
        !ups.iter().any(|event| matches!(event, Event::LinkUp { .. })),
        "{ups:?}"
    );
}

#[test]
fn other_cipher_suites_are_refused() {
    let bob = TestNode::start(33);
    let mut aes = provider(&[aws_lc_rs::kx_group::MLKEM768]);
    aes.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384];
    let error = dial(&bob, aes, b"espalier/1").unwrap_err();
    assert!(
        error.contains("error 40") && error.contains("NoCipherSuitesInCommon"),
        "{error}"
    );
}

fn provider(groups: &[&'static dyn SupportedKxGroup]) -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        kx_groups: groups.to_vec(),
        ..aws_lc_rs::default_provider()
    }
}

/// Dials with a client that proves nothing and believes everything; answers the error it got.
fn dial(bob: &TestNode, provider: CryptoProvider, alpn: &[u8]) -> Result<(), String> {
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let initial = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .unwrap()
        .quic_suite()
        .unwrap();
    let crypto = QuicClientConfig::with_initial(Arc::new(config), initial).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let connecting = endpoint
            .connect_with(config, bob.address(), "any-node.invalid")
            .unwrap();
        connecting.await.map(|_| ()).map_err(|error| error.to_string())
    })
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ML_DSA_65]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
