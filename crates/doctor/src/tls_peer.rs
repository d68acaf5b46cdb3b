//! The certificate that a server presents, and whether a client accepts it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use latchkey_service::certificate::Validity;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

const TIMEOUT: Duration = Duration::from_secs(3);

/// What a server presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The life of its certificate.
    pub validity: Validity,
    /// Why a client does not accept the certificate, whatever the time is.
    pub refusal: Option<Refusal>,
}

/// Why a client does not accept a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No trusted authority issued it.
    UnknownAuthority,
    /// It is for another name.
    OtherName,
    /// Another reason of the TLS library.
    Other(String),
}

/// Connects to the server of a URL and returns what it presents, as a client sees it that trusts
/// `authorities`; without them its issuer is not judged.
///
/// # Errors
/// The server cannot be reached, does not speak TLS, or does not answer in time.
pub(crate) async fn look(url: &Url, authorities: Option<RootCertStore>) -> Result<Peer, String> {
    let connected = tokio::time::timeout(TIMEOUT, connect(url, authorities)).await;
    connected.unwrap_or_else(|_| Err("does not answer".to_owned()))
}

async fn connect(url: &Url, authorities: Option<RootCertStore>) -> Result<Peer, String> {
    let host = url.host_str().ok_or("has no host")?;
    let port = port(url).ok_or("has no port")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect((bare, port))
        .await
        .map_err(|error| error.to_string())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let observer = Arc::new(Observer::new(&provider, authorities));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&observer) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let handshake = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    match (observer.seen(), handshake) {
        // A server that asks for a certificate of the client presents its own one before it
        // refuses.
        (Some(seen), _) => seen,
        (None, Err(error)) => Err(error.to_string()),
        (None, Ok(_)) => Err("presents no certificate".to_owned()),
    }
}

fn port(url: &Url) -> Option<u16> {
    let default = || match url.scheme() {
        // https://www.iana.org/assignments/service-names-port-numbers
        "amqps" => Some(5671),
        _ => url.port_or_known_default(),
    };
    url.port().or_else(default)
}

/// Accepts any certificate and keeps what a client would say: an expired one is what is looked
/// for. Nothing is sent over the connection.
#[derive(Debug)]
struct Observer {
    provider: CryptoProvider,
    client: Option<Arc<WebPkiServerVerifier>>,
    seen: Mutex<Option<Result<Peer, String>>>,
}

impl Observer {
    fn new(provider: &Arc<CryptoProvider>, authorities: Option<RootCertStore>) -> Self {
        let client = authorities.and_then(|authorities| {
            let authorities = Arc::new(authorities);
            let builder =
                WebPkiServerVerifier::builder_with_provider(authorities, Arc::clone(provider));
            // Fails if there is no authority.
            builder.build().ok()
        });
        Self {
            provider: CryptoProvider::clone(provider),
            client,
            seen: Mutex::new(None),
        }
    }

    fn seen(&self) -> Option<Result<Peer, String>> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refusal = self.client.as_ref().and_then(|client| {
            let verified = client.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
            refusal(verified.err()?)
        });
        let peer = Validity::of(end_entity)
            .map(|validity| Peer { validity, refusal })
            .ok_or_else(|| "presents a certificate that cannot be read".to_owned());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// `None` if the certificate is only too old or too new, which [`Validity`] says.
fn refusal(error: Error) -> Option<Refusal> {
    let Error::InvalidCertificate(error) = error else {
        return Some(Refusal::Other(error.to_string()));
    };
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => None,
        // The signature is wrong if another authority has the name of one that is trusted.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Some(Refusal::UnknownAuthority)
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some(Refusal::OtherName)
        }
        other => Some(Refusal::Other(other.to_string())),
    }
}

#[cfg(test)]
mod tests;
