//! How long certificates are valid, and the metric of those that a service reads.

use metrics::{describe_gauge, gauge};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The subject of a certificate, and from when to when it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// The distinguished name of the subject.
    pub subject: String,
    /// When it begins.
    pub not_before: OffsetDateTime,
    /// When it ends.
    pub not_after: OffsetDateTime,
}

impl Validity {
    /// Reads a certificate. `None` if the bytes are not a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
        Some(Self {
            subject: certificate.subject().to_string(),
            not_before: time(certificate.validity().not_before.timestamp())?,
            not_after: time(certificate.validity().not_after.timestamp())?,
        })
    }

    /// The certificates of a text in PEM. `None` if one cannot be read.
    pub fn of_pem(text: &str) -> Option<Vec<Self>> {
        CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|certificate| Self::of(&certificate.ok()?))
            .collect()
    }
}

/// What a service uses a file of certificates for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateUse {
    /// `GRPC_TLS_CERT`: it presents them to callers.
    Server,
    /// `GRPC_CLIENT_CERT`: it presents them to other services.
    Client,
    /// `GRPC_TLS_CLIENT_CA`: they issue the certificates of callers.
    AuthorityOfClients,
    /// `GRPC_CLIENT_CA`: they issue the certificates of other services.
    AuthorityOfServers,
    /// `CALLER_JWKS_CA`: they issue the certificate of `CALLER_JWKS_URL`.
    AuthorityOfCallerKeys,
}

impl CertificateUse {
    /// The label of the metric.
    fn label(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::AuthorityOfClients => "authority_of_clients",
            Self::AuthorityOfServers => "authority_of_servers",
            Self::AuthorityOfCallerKeys => "authority_of_caller_keys",
        }
    }
}

/// Sets `latchkey_certificate_not_after_timestamp_seconds` and its counterpart for the begin, from
/// the certificates in PEM that are in use from now on: of several in one file, those of the one
/// that ends first. A text that is not PEM changes nothing.
pub fn measure(purpose: CertificateUse, pem: &str) {
    describe_gauge!(
        "latchkey_certificate_not_before_timestamp_seconds",
        "When the certificate that is in use begins to be valid, in seconds since 1970, by its use."
    );
    describe_gauge!(
        "latchkey_certificate_not_after_timestamp_seconds",
        "When the certificate that is in use expires, in seconds since 1970, by its use; of several \
         in one file, the first that expires."
    );
    let certificates = Validity::of_pem(pem).unwrap_or_default();
    let Some(first) = certificates.iter().min_by_key(|one| one.not_after) else {
        return;
    };
    let purpose = purpose.label();
    gauge!("latchkey_certificate_not_before_timestamp_seconds", "use" => purpose)
        .set(seconds(first.not_before));
    gauge!("latchkey_certificate_not_after_timestamp_seconds", "use" => purpose)
        .set(seconds(first.not_after));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact for each year that a certificate can have"
)]
fn seconds(time: OffsetDateTime) -> f64 {
    time.unix_timestamp() as f64
}

#[cfg(test)]
mod tests {
    use latchkey_testkit::TestCertificates;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    // R45
    #[test]
    fn the_metric_is_the_end_of_the_certificate_that_expires_first() {
        let certificates = TestCertificates::create();
        let expired = certificates.authority().expired_client("worker").unwrap();
        let read = |path| std::fs::read_to_string(path).unwrap();
        let both = read(&certificates.client.certificate) + &read(&expired.certificate);

        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            measure(CertificateUse::Client, &both);
            measure(CertificateUse::Client, "no certificate");
            measure(CertificateUse::Server, "no certificate");
        });
        let text = handle.render();
        // 2001-01-01 and 2001-02-01.
        for line in [
            "latchkey_certificate_not_before_timestamp_seconds{use=\"client\"} 978307200",
            "latchkey_certificate_not_after_timestamp_seconds{use=\"client\"} 980985600",
        ] {
            assert!(text.lines().any(|one| one == line), "{text}");
        }
        assert!(!text.contains("server"), "{text}");
    }
}
