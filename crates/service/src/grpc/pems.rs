//! Certificates and keys in PEM, and the TLS configurations from them.

use std::sync::Arc;

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::certificate::{self, CertificateUse};

const CERTIFICATE: &str = "GRPC_TLS_CERT";
const KEY: &str = "GRPC_TLS_KEY";
const CLIENT_CA: &str = "GRPC_TLS_CLIENT_CA";

const CLIENT_CERTIFICATE: &str = "GRPC_CLIENT_CERT";

const UNUSABLE_AUTHORITY: &str = "must be the certificate of an authority that issues certificates \
                                  to callers, in PEM";

/// Whether a client must present a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// Connections without a certificate are refused.
    #[default]
    Required,
    /// A certificate is not required, and must be valid if it is presented.
    Optional,
    /// No certificate is requested.
    NotAsked,
}

/// The PEM texts as they were read at one time.
#[derive(PartialEq, Eq)]
pub(super) struct Pems {
    certificate: String,
    key: String,
    /// The certificate authority of the peer.
    authority: Option<String>,
}

// The private key must not be printed.
impl std::fmt::Debug for Pems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pems").finish_non_exhaustive()
    }
}

impl Pems {
    /// Reads the variables of a server, or the files that they name.
    pub(super) fn of_server(
        environment: &Environment,
        client: ClientCertificate,
    ) -> Result<Self, ConfigErrors> {
        read_all! {
            let certificate = pem(environment, CERTIFICATE, "CERTIFICATE");
            let key = pem(environment, KEY, "PRIVATE KEY");
            let authority = match client {
                ClientCertificate::NotAsked => Ok(None),
                ClientCertificate::Optional | ClientCertificate::Required => {
                    pem(environment, CLIENT_CA, "CERTIFICATE").map(Some)
                }
            };
        }
        Ok(Self {
            certificate,
            key,
            authority,
        })
    }

    /// The same for a client.
    pub(super) fn of_client(environment: &Environment) -> Result<Self, ConfigErrors> {
        read_all! {
            let certificate = pem(environment, CLIENT_CERTIFICATE, "CERTIFICATE");
            let key = pem(environment, "GRPC_CLIENT_KEY", "PRIVATE KEY");
            let authority = pem(environment, "GRPC_CLIENT_CA", "CERTIFICATE");
        }
        Ok(Self {
            certificate,
            key,
            authority: Some(authority),
        })
    }

    /// Measures until when the certificates of a server are valid, which are in use from now on.
    pub(super) fn measure_of_server(&self) {
        self.measure(CertificateUse::Server, CertificateUse::AuthorityOfClients);
    }

    /// The same for a client.
    pub(super) fn measure_of_client(&self) {
        self.measure(CertificateUse::Client, CertificateUse::AuthorityOfServers);
    }

    fn measure(&self, own: CertificateUse, authority: CertificateUse) {
        certificate::measure(own, &self.certificate);
        if let Some(text) = &self.authority {
            certificate::measure(authority, text);
        }
    }

    /// Adds TLS to the endpoint of another service.
    pub(super) fn endpoint(&self, plain: Endpoint) -> Result<Endpoint, ConfigError> {
        let tls = ClientTlsConfig::new()
            .identity(Identity::from_pem(&self.certificate, &self.key))
            .ca_certificates(self.authority.iter().map(Certificate::from_pem));
        plain.tls_config(tls).map_err(|_| {
            let problem = "must be the certificate of GRPC_CLIENT_KEY, and GRPC_CLIENT_CA a \
                           certificate too, all in PEM as the authority issued them";
            ConfigError::new(CLIENT_CERTIFICATE, problem)
        })
    }

    /// The TLS configuration of a server. Sessions are not resumed: a resumed session would skip
    /// the check of the client's certificate.
    pub(super) fn server_config(
        &self,
        client: ClientCertificate,
    ) -> Result<ServerConfig, ConfigError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new(CERTIFICATE, error.to_string()))?;
        let builder = match &self.authority {
            None => builder.with_no_client_auth(),
            Some(text) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(authorities(text)?, provider);
                let verifier = if client == ClientCertificate::Optional {
                    verifier.allow_unauthenticated()
                } else {
                    verifier
                };
                let verifier = verifier
                    .build()
                    .map_err(|_| ConfigError::new(CLIENT_CA, UNUSABLE_AUTHORITY))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|_| ConfigError::new(KEY, "must be a private key in PEM"))?;
        let mut config = builder
            .with_single_cert(certificates(CERTIFICATE, &self.certificate)?, key)
            .map_err(|_| {
                let problem = format!("must be the certificate of {KEY}, then its issuers");
                ConfigError::new(CERTIFICATE, problem)
            })?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn authorities(text: &str) -> Result<Arc<RootCertStore>, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CLIENT_CA, text)? {
        roots
            .add(certificate)
            .map_err(|_| ConfigError::new(CLIENT_CA, UNUSABLE_AUTHORITY))?;
    }
    Ok(Arc::new(roots))
}

fn certificates(name: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| ConfigError::new(name, "must be a certificate in PEM"))
}

fn pem(environment: &Environment, name: &str, kind: &str) -> Result<String, ConfigError> {
    let text = environment.required(name, &format!("a PEM {kind}, or {name}_FILE to its path"))?;
    if text.contains(&format!("{kind}-----")) {
        Ok(text)
    } else {
        Err(ConfigError::new(
            name,
            format!("must be PEM: it has no line -----BEGIN {kind}-----"),
        ))
    }
}
