//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The other end of a connection, in the extensions of every request. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it calls from.
    pub address: SocketAddr,
    /// Its certificate, verified; absent where it showed none.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// The names in a verified certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The SPIFFE id. A certificate with more than one URI is no SPIFFE
    /// certificate (X.509-SVID section 2) and has none.
    pub spiffe_id: Option<String>,
    /// DNS names, in lower case, those with wildcards left out.
    pub dns_names: Vec<String>,
}

impl PeerCertificate {
    /// Every name that the caller has proved to have; the first is the one to
    /// write down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let spiffe = self.spiffe_id.iter();
        spiffe.chain(&self.dns_names).map(String::as_str)
    }

    /// Reads the subject alternative names; of a certificate without any, no
    /// names. The common name says nothing (RFC 9525 section 2).
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
