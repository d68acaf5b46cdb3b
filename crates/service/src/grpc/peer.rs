//! The peer of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The peer of a connection, in the extensions of every request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its verified certificate, if it presented one.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// The names in a verified certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The SPIFFE id. A certificate with more than one URI is not a SPIFFE certificate
    /// (X.509-SVID section 2) and has no SPIFFE id.
    pub spiffe_id: Option<String>,
    /// DNS names in lower case, without those with wildcards.
    pub dns_names: Vec<String>,
}

impl PeerCertificate {
    /// Every name that the certificate proves. The first is the name for logs and the audit.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let spiffe = self.spiffe_id.iter();
        spiffe.chain(&self.dns_names).map(String::as_str)
    }

    /// Reads the subject alternative names. The common name is ignored (RFC 9525 section 2).
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else {
            return Self::default();
        };
        let mut uris = certificate.valid_uri_names();
        let spiffe_id = match (uris.next(), uris.next()) {
            (Some(only), None) if only.starts_with("spiffe://") => Some(only.to_owned()),
            _ => None,
        };
        let dns_names = certificate
            .valid_dns_names()
            .filter(|name| !name.contains('*'))
            .map(str::to_ascii_lowercase)
            .collect();
        Self {
            spiffe_id,
            dns_names,
        }
    }
}
