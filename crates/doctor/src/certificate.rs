//! Where certificates are in their lives.

use latchkey_service::certificate::Validity;
use time::{Duration, OffsetDateTime};

/// A certificate is to be renewed when less than this is left of it.
const SOON: Duration = Duration::days(14);
/// Certificates that live for less than ten weeks are to be renewed when less than this part of
/// their life is left.
const SOON_PART: i32 = 5;

/// Where a certificate is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Valid,
    NotYetValid,
    ExpiresSoon,
    Expired,
}

impl Life {
    /// Where a certificate is in its life at this time.
    pub(crate) fn of(certificate: &Validity, now: OffsetDateTime) -> Self {
        let left = certificate.not_after - now;
        let life = certificate.not_after - certificate.not_before;
        if left <= Duration::ZERO {
            Self::Expired
        } else if now < certificate.not_before {
            Self::NotYetValid
        } else if left < SOON.min(life / SOON_PART) {
            Self::ExpiresSoon
        } else {
            Self::Valid
        }
    }
}

/// `<days> days left`.
pub(crate) fn left(certificate: &Validity, now: OffsetDateTime) -> String {
    let left = certificate.not_after - now;
    if left.whole_days().abs() >= 2 {
        format!("{} days left", left.whole_days())
    } else {
        format!("{} hours left", left.whole_hours())
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
        assert_eq!(
            Life::of(&long, begins - Duration::hours(1)),
            Life::NotYetValid
        );
        assert_eq!(Life::of(&long, begins + Duration::days(75)), Life::Valid);
        assert_eq!(
            Life::of(&long, begins + Duration::days(77)),
            Life::ExpiresSoon
        );
        assert_eq!(Life::of(&long, begins + Duration::days(90)), Life::Expired);
        let short = certificate(Duration::hours(24));
        assert_eq!(Life::of(&short, begins + Duration::hours(19)), Life::Valid);
        assert_eq!(
            Life::of(&short, begins + Duration::hours(20)),
            Life::ExpiresSoon
        );
    }
}
