//! TLS 1.3 with ML-KEM-768, ML-DSA-65, ChaCha20-Poly1305 and raw public keys on both sides, and nothing
//! else: the handshake that Espalier makes, out of the parts that rustls ships.

use std::{sync::Arc, time::Duration};

use ::aws_lc_rs::signature::{ML_DSA_65_SIGNING, PqdsaKeyPair};
use quinn::{
    AckFrequencyConfig, ClientConfig, EndpointConfig, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key},
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};

use crate::commands::Failure;

pub const SERVER_NAME: &str = "bench.invalid";
const ALPN: &[u8] = b"bench/1";
const SOCKET_BUFFER: usize = 4 << 20;

/// Both directions; no session is remembered, so that every handshake is a full one.
pub fn configs(seed: &[u8; 32]) -> Result<(ClientConfig, ServerConfig), Failure> {
    let provider = Arc::new(provider()?);
    let certified = certified_key(&provider, seed)?;
    let verifier = Arc::new(AnyKey(provider.signature_verification_algorithms));
    let initial = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(rustls::Tls13CipherSuite::quic_suite)
        .ok_or("the library lacks the suite of initial packets")?;

    let mut client = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
            certified.clone(),
        )));
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.enable_sni = false;
    client.resumption = Resumption::disabled();

    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified)));
    server.alpn_protocols = vec![ALPN.to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});

    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::with_initial(
        Arc::new(client),
        initial,
    )?));
    client.transport_config(transport());
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::with_initial(
        Arc::new(server),
        initial,
    )?));
    server.transport_config(transport());
    Ok((client, server))
}

/// An endpoint on loopback with socket buffers that bulk needs.
pub fn endpoint(server: Option<ServerConfig>) -> Result<quinn::Endpoint, Failure> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let tuned = socket2::SockRef::from(&socket);
    tuned.set_recv_buffer_size(SOCKET_BUFFER)?;
    tuned.set_send_buffer_size(SOCKET_BUFFER)?;
    let runtime = Arc::new(quinn::TokioRuntime);
    Ok(quinn::Endpoint::new(
        EndpointConfig::default(),
        server,
        socket,
        runtime,
    )?)
}

fn transport() -> Arc<TransportConfig> {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(10));
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1024))
        .stream_receive_window(VarInt::from_u32(16 << 20))
        .receive_window(VarInt::from_u32(64 << 20))
        .send_window(64 << 20)
        .ack_frequency_config(Some(acks))
        .initial_rtt(Duration::from_millis(100))
        // Idle connections are measured too, and would end after 30 seconds.
        .keep_alive_interval(Some(Duration::from_secs(10)));
    Arc::new(config)
}

fn provider() -> Result<CryptoProvider, Failure> {
    let every = aws_lc_rs::default_provider();
    let mapping = every.signature_verification_algorithms.mapping;
    let index = mapping
        .iter()
        .position(|(scheme, _)| *scheme == SignatureScheme::ML_DSA_65)
        .ok_or("the library lacks ML-DSA-65")?;
    Ok(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::MLKEM768],
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: mapping[index].1,
            mapping: &mapping[index..=index],
        },
        ..every
    })
}

fn certified_key(provider: &CryptoProvider, seed: &[u8; 32]) -> Result<Arc<CertifiedKey>, Failure> {
    let pkcs8 = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, seed)?.to_pkcs8v1()?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec()));
    let key = provider.key_provider.load_private_key(der)?;
    let spki = key
        .public_key()
        .ok_or("the key has no public half")?
        .as_ref()
        .to_vec();
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], key)))
}

/// Accepts whoever proves an ML-DSA-65 key.
#[derive(Debug)]
struct AnyKey(WebPkiSupportedAlgorithms);

impl AnyKey {
    fn check(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(certificate.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, proof, &self.0)
    }
}

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, certificate, proof)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ML_DSA_65]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, certificate, proof)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ML_DSA_65]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
