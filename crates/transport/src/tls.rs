//! Pure post-quantum TLS 1.3: ML-KEM-768 alone for the key exchange, ML-DSA-65 alone for proof of
//! identity, raw public keys (RFC 7250) on both sides. The only module that names rustls.

use std::sync::Arc;

use espalier_core::{
    identity::{NODE_ID_BYTES, node_id},
    sign::{PUBLIC_KEY_BYTES, SigningKey},
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, SignatureAlgorithm,
    SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, alg_id},
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, ServerSessionMemoryCache,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, Signer, SigningKey as TlsSigningKey, public_key_to_spki},
    version::TLS13,
};

use crate::{base32, error::TransportError};

/// The application protocol; its number changes with the wire format.
pub const ALPN: &[u8] = b"espalier/1";
/// Sessions that either side remembers for resumption, about 2.5 KB each.
const REMEMBERED_SESSIONS: usize = 4096;
/// Name that a dial uses when any node will do.
const ANY_NODE: &str = "any-node.invalid";
/// QUIC's code for TLS alert 42, `bad_certificate` (RFC 9001 §4.8): our verifier sends it for the wrong node.
pub(crate) const WRONG_NODE_CODE: u64 = 0x100 + 42;

/// The names of what a handshake used, read from the provider that holds nothing else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Negotiated {
    /// TLS group, `MLKEM768`.
    pub key_exchange: String,
    /// TLS signature scheme, `mldsa65`.
    pub signature: String,
    /// TLS cipher suite.
    pub cipher_suite: String,
}

/// What an endpoint needs of TLS, for both directions.
pub struct TlsConfigs {
    /// For dialling.
    pub client: quinn::ClientConfig,
    /// For accepting.
    pub server: quinn::ServerConfig,
    /// What every handshake of these configurations ends in.
    pub negotiated: Negotiated,
}

/// Configurations that prove `key` and accept any node that proves an ML-DSA-65 key. Without `resumes` every
/// handshake is a full one.
///
/// # Errors
///
/// [`TransportError::Internal`] when the library refuses the configuration.
pub fn configs(key: &Arc<SigningKey>, resumes: bool) -> Result<TlsConfigs, TransportError> {
    let (client, server, negotiated) = sessions(key, resumes)?;
    Ok(TlsConfigs {
        client: quinn::ClientConfig::new(Arc::new(client)),
        server: quinn::ServerConfig::with_crypto(Arc::new(server)),
        negotiated,
    })
}

/// What begins a session on either side.
pub(crate) fn sessions(
    key: &Arc<SigningKey>,
    resumes: bool,
) -> Result<(QuicClientConfig, QuicServerConfig, Negotiated), TransportError> {
    let provider = Arc::new(provider());
    let negotiated = negotiated(&provider)?;
    let certified = certified_key(key);
    let verifier = Arc::new(NodeVerifier);
    let refused =
        |error: TlsError| TransportError::Internal(format!("tls refused its configuration: {error}"));
    let no_suite = || TransportError::Internal("the library lacks the suite of initial packets".to_owned());
    // RFC 9001 §5.2 fixes AES-128-GCM with public keys for Initial packets: they promise nothing.
    let initial = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(rustls::Tls13CipherSuite::quic_suite)
        .ok_or_else(no_suite)?;

    let mut client = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
            certified.clone(),
        )));
    client.alpn_protocols = vec![ALPN.to_vec()];
    // The server name is the id of the node that is dialled; it must not travel in the clear.
    client.enable_sni = false;
    // Only requests that may be repeated are ever sent early (see `dial`).
    client.enable_early_data = true;
    client.resumption = if resumes {
        Resumption::in_memory_sessions(REMEMBERED_SESSIONS)
    } else {
        Resumption::disabled()
    };

    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified)));
    server.alpn_protocols = vec![ALPN.to_vec()];
    // Kept here and not in tickets: each is taken once, so early data that is replayed finds none.
    server.session_storage = if resumes {
        ServerSessionMemoryCache::new(REMEMBERED_SESSIONS)
    } else {
        Arc::new(NoServerSessionStorage {})
    };
    // QUIC knows no other value (RFC 9001 §4.6.1); flow control bounds what comes early.
    server.max_early_data_size = u32::MAX;

    let client = QuicClientConfig::with_initial(Arc::new(client), initial).map_err(|_| no_suite())?;
    let server = QuicServerConfig::with_initial(Arc::new(server), initial).map_err(|_| no_suite())?;
    Ok((client, server, negotiated))
}

/// The name to dial for a node, or for any.
pub(crate) fn server_name(expected: Option<&[u8; NODE_ID_BYTES]>) -> String {
    expected.map_or_else(
        || ANY_NODE.to_owned(),
        |id| format!("{}.invalid", base32::encode(id)),
    )
}

/// A key for the tokens of stateless resets.
pub(crate) fn reset_key(key: &[u8; 32]) -> Arc<dyn quinn::crypto::HmacKey> {
    Arc::new(aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key))
}

/// The id that the handshake of `connection` proved.
pub(crate) fn peer_id(connection: &quinn::Connection) -> Option<[u8; NODE_ID_BYTES]> {
    proved_id(connection.peer_identity()?.as_ref())
}

/// The id in what a session answers about its peer.
pub(crate) fn proved_id(identity: &dyn std::any::Any) -> Option<[u8; NODE_ID_BYTES]> {
    let certificates = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
    public_key(certificates.first()?.as_ref()).map(node_id)
}

/// ML-KEM-768, ML-DSA-65 and ChaCha20-Poly1305: nothing else, so nothing else can be negotiated.
fn provider() -> CryptoProvider {
    use rustls::crypto::aws_lc_rs;
    CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::MLKEM768],
        signature_verification_algorithms: ALGORITHMS,
        ..aws_lc_rs::default_provider()
    }
}

fn negotiated(provider: &CryptoProvider) -> Result<Negotiated, TransportError> {
    let ([group], [suite], [(scheme, _)]) = (
        provider.kx_groups.as_slice(),
        provider.cipher_suites.as_slice(),
        provider.signature_verification_algorithms.mapping,
    ) else {
        return Err(TransportError::Internal(
            "the provider leaves a choice".to_owned(),
        ));
    };
    Ok(Negotiated {
        key_exchange: format!("{:?}", group.name()),
        // RFC 9881 and the TLS registry write it in lower case without separators.
        signature: format!("{scheme:?}").to_lowercase().replace('_', ""),
        cipher_suite: format!("{:?}", suite.suite()).replace("TLS13_", "TLS_"),
    })
}

fn certified_key(key: &Arc<SigningKey>) -> Arc<CertifiedKey> {
    let spki = public_key_to_spki(&alg_id::ML_DSA_65, key.public_key());
    // With raw public keys the one "certificate" is the SubjectPublicKeyInfo itself.
    let certificate = CertificateDer::from(spki.as_ref().to_vec());
    Arc::new(CertifiedKey::new(
        vec![certificate],
        Arc::new(NodeSigner {
            key: key.clone(),
            spki,
        }),
    ))
}

/// The raw key inside a `SubjectPublicKeyInfo`, when it is an ML-DSA-65 key in its only DER spelling.
pub(crate) fn public_key(spki: &[u8]) -> Option<&[u8]> {
    let (head, key) = spki.split_at_checked(spki.len().checked_sub(PUBLIC_KEY_BYTES)?)?;
    let expected = public_key_to_spki(&alg_id::ML_DSA_65, key);
    (expected.as_ref().strip_suffix(key) == Some(head)).then_some(key)
}

#[derive(Debug)]
struct NodeSigner {
    key: Arc<SigningKey>,
    spki: SubjectPublicKeyInfoDer<'static>,
}

impl TlsSigningKey for NodeSigner {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ML_DSA_65).then(|| {
            Box::new(HandshakeSigner {
                key: self.key.clone(),
            }) as Box<dyn Signer>
        })
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.spki.clone())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        // TLS 1.2's enumeration has no ML-DSA; nothing in TLS 1.3 reads it.
        SignatureAlgorithm::Unknown(0)
    }
}

#[derive(Debug)]
struct HandshakeSigner {
    key: Arc<SigningKey>,
}

impl Signer for HandshakeSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TlsError> {
        self.key
            .sign(message)
            .map(|signature| signature.to_vec())
            .map_err(|error| TlsError::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ML_DSA_65
    }
}

#[derive(Debug)]
struct MlDsa65;

/// All that is accepted.
const ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&MlDsa65],
    mapping: &[(SignatureScheme::ML_DSA_65, &[&MlDsa65])],
};

impl rustls::pki_types::SignatureVerificationAlgorithm for MlDsa65 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), rustls::pki_types::InvalidSignature> {
        match espalier_core::sign::verify(public_key, message, signature, b"") {
            Ok(true) => Ok(()),
            _ => Err(rustls::pki_types::InvalidSignature),
        }
    }

    fn public_key_alg_id(&self) -> rustls::pki_types::AlgorithmIdentifier {
        alg_id::ML_DSA_65
    }

    fn signature_alg_id(&self) -> rustls::pki_types::AlgorithmIdentifier {
        alg_id::ML_DSA_65
    }
}

/// Accepts every node that proves its key; the id that was dialled has to be that key's.
#[derive(Debug)]
struct NodeVerifier;

impl NodeVerifier {
    fn signature(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(certificate.as_ref()),
            proof,
            &ALGORITHMS,
        )
    }
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let key =
            public_key(end_entity).ok_or(TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        let name = server_name.to_str();
        if name != ANY_NODE && name != self::server_name(Some(&node_id(key))) {
            return Err(TlsError::InvalidCertificate(CertificateError::NotValidForName));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Self::signature(message, certificate, proof)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ML_DSA_65]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for NodeVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        public_key(end_entity).ok_or(TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Self::signature(message, certificate, proof)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ML_DSA_65]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
