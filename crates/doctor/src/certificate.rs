//! How long certificates are valid.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate is to be renewed when less than this is left of it.
const SOON: Duration = Duration::days(14);
/// Certificates that live for less than ten weeks are to be renewed when less than this part of
/// their life is left.
const SOON_PART: i32 = 5;

/// The life of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validity {
    pub subject: String,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
}

/// Where a certificate is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Valid,
    NotYetValid,
    ExpiresSoon,
    Expired,
}

impl Validity {
    /// Reads a certificate. `None` if the bytes are not a certificate.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
        Some(Self {
            subject: certificate.subject().to_string(),
            not_before: time(certificate.validity().not_before.timestamp())?,
            not_after: time(certificate.validity().not_after.timestamp())?,
        })
    }

    /// The certificates of a text in PEM. `None` if one cannot be read.
    pub(crate) fn of_pem(text: &str) -> Option<Vec<Self>> {
        CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|certificate| Self::of(&certificate.ok()?))
            .collect()
    }

    /// Where the certificate is in its life.
    pub(crate) fn at(&self, now: OffsetDateTime) -> Life {
        let left = self.not_after - now;
        let life = self.not_after - self.not_before;
        if left <= Duration::ZERO {
            Life::Expired
        } else if now < self.not_before {
            Life::NotYetValid
        } else if left < SOON.min(life / SOON_PART) {
            Life::ExpiresSoon
        } else {
            Life::Valid
        }
    }

    /// `<days> days left`.
    pub(crate) fn left(&self, now: OffsetDateTime) -> String {
        let left = self.not_after - now;
        if left.whole_days().abs() >= 2 {
            format!("{} days left", left.whole_days())
        } else {
            format!("{} hours left", left.whole_hours())
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn short_lived_certificates_have_a_shorter_notice() {
        let begins = datetime!(2026-01-01 00:00 UTC);
        let certificate = |life| Validity {
            subject: String::new(),
            not_before: begins,
            not_after: begins + life,
        };
        let long = certificate(Duration::days(90));
        assert_eq!(long.at(begins - Duration::hours(1)), Life::NotYetValid);
        assert_eq!(long.at(begins + Duration::days(75)), Life::Valid);
        assert_eq!(long.at(begins + Duration::days(77)), Life::ExpiresSoon);
        assert_eq!(long.at(begins + Duration::days(90)), Life::Expired);
        let short = certificate(Duration::hours(24));
        assert_eq!(short.at(begins + Duration::hours(19)), Life::Valid);
        assert_eq!(short.at(begins + Duration::hours(20)), Life::ExpiresSoon);
    }
}
