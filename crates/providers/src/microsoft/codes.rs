//! Microsoft's AADSTS numbers.
//!
//! `error` decides; a number may soften the verdict or choose the message, and
//! never makes one terminal (throttling, 50196, arrives as `invalid_grant`).

use crate::FailureClass;

/// Class of one number, where it is known.
fn class_of(number: u64) -> Option<FailureClass> {
    Some(match number {
        70000 | 70008 | 700_082 | 50173 | 50089 | 50132 | 50133 | 700_084 => {
            FailureClass::InvalidRefreshToken
        }
        70043 => FailureClass::ReauthPolicy,
        50072 | 50074 | 50076 | 50078 | 50079 | 50158 => FailureClass::InteractionRequired,
        65001 | 65004 => FailureClass::ConsentRequired,
        53000..=53003 | 530_035 | 50105 | 500_212 | 500_213 => FailureClass::BlockedByAdmin,
        50057 | 50034 | 51004 => FailureClass::AccountDisabled,
        70001 | 70002 | 700_011 | 700_027 | 7_000_215 | 7_000_222 => {
            FailureClass::ClientMisconfigured
        }
        900_144 | 90014 | 70003 | 9_002_313 => FailureClass::RequestRejected,
        70011 | 28002 | 500_011 | 650_057 => FailureClass::ScopeInvalid,
        50196 => FailureClass::RateLimit,
        50033 | 50087 | 90006 | 90012 | 70012 | 90033 => FailureClass::ProviderUnavailable,
        _ => return None,
    })
}

/// What the numbers make of a verdict.
pub(crate) fn class_of_codes(verdict: FailureClass, numbers: &[u64]) -> FailureClass {
    let classes = || numbers.iter().filter_map(|number| class_of(*number));
    classes()
        .find(|class| class.is_retryable())
        .or_else(|| classes().find(|class| verdict.is_terminal() || !class.is_terminal()))
        .unwrap_or(verdict)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // R32
    #[test]
    fn a_number_never_makes_a_verdict_terminal() {
        for number in 0..1_000_000 {
            let class = class_of_codes(FailureClass::Unknown, &[number]);
            assert!(!class.is_terminal(), "{number}");
        }
    }

    #[test]
    fn a_softer_number_wins() {
        let verdict = class_of_codes(FailureClass::InvalidRefreshToken, &[50173, 50196]);
        assert_eq!(verdict, FailureClass::RateLimit);
    }

    proptest! {
        #[test]
        fn an_operators_verdict_never_condemns(numbers in prop::collection::vec(0_u64..10_000_000, 0..4)) {
            let class = class_of_codes(FailureClass::ClientMisconfigured, &numbers);
            prop_assert!(!class.is_terminal());
        }
    }
}
