//! What a refusal means for a grant: a function without I/O.

use std::time::Duration;

use latchkey_providers::{FailureClass, Rotation};

/// Consecutive refusals for an unknown reason after which the grant is dead. With the
/// back-offs in between this takes hours.
pub(super) const MAX_REFUSALS: u32 = 12;

/// A refusal that others than the person can withdraw is final after this time.
pub(super) const MAX_REFUSED_FOR: Duration = Duration::from_hours(14 * 24);

/// What is known about a refused grant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    /// Class of the provider's answer.
    pub class: FailureClass,
    /// Rotation of the provider.
    pub rotation: Rotation,
    /// Unanswered requests with this refresh token, including this one.
    pub attempts: u32,
    /// Consecutive refusals before this one.
    pub refusals: u32,
    /// Time since the first of these refusals.
    pub refused_for: Duration,
    /// Set if the tokens were last issued to another client id.
    pub client_changed: bool,
    /// Set if the provider refuses many accounts and serves none.
    pub burst: bool,
}

/// The verdict on a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Only a sign-in can revive it.
    Dead(FailureClass),
    /// A later refresh may succeed.
    Lives(FailureClass),
}

/// Decides on the grant.
pub(super) fn judge(refusal: Refusal) -> Verdict {
    match refusal.class {
        FailureClass::InvalidRefreshToken if refusal.client_changed => {
            Verdict::Dead(FailureClass::ClientChanged)
        }
        // The client was deleted or the application was revoked: the operator must act,
        // and nobody needs to sign in again.
        FailureClass::InvalidRefreshToken if refusal.burst => {
            Verdict::Lives(FailureClass::GrantsRefused)
        }
        // Refused after an unanswered request: that request rotated the token, and its
        // answer was lost. Only a refusal proves this; unanswered requests alone are an
        // outage and end no grant. The person must sign in again in both cases; the
        // reason is for the operator.
        FailureClass::InvalidRefreshToken
            if refusal.rotation == Rotation::Strict && refusal.attempts > 1 =>
        {
            Verdict::Dead(FailureClass::RotationLost)
        }
        FailureClass::Unknown if refusal.refusals.saturating_add(1) >= MAX_REFUSALS => {
            if refusal.burst {
                Verdict::Lives(FailureClass::GrantsRefused)
            } else {
                Verdict::Dead(FailureClass::Refused)
            }
        }
        class if class.heals() && refusal.refused_for >= MAX_REFUSED_FOR => Verdict::Dead(class),
        class if class.is_terminal() => Verdict::Dead(class),
        class => Verdict::Lives(class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(class: FailureClass) -> Refusal {
        Refusal {
            class,
            rotation: Rotation::Strict,
            attempts: 1,
            refusals: 0,
            refused_for: Duration::ZERO,
            client_changed: false,
            burst: false,
        }
    }

    // R32, R34
    #[test]
    fn a_refusal_that_others_can_withdraw_is_final_after_two_weeks() {
        for class in [FailureClass::BlockedByAdmin, FailureClass::AccountDisabled] {
            let day = Duration::from_hours(24);
            for (days, verdict) in [
                (0, Verdict::Lives(class)),
                (13, Verdict::Lives(class)),
                (14, Verdict::Dead(class)),
            ] {
                let refused_for = day * days;
                let judged = judge(Refusal {
                    refused_for,
                    ..refusal(class)
                });
                assert_eq!(judged, verdict, "{class} {days}");
            }
        }
    }

    #[test]
    fn repeated_refusals_for_an_unknown_reason_end_the_grant() {
        let after = |refusals| {
            judge(Refusal {
                refusals,
                ..refusal(FailureClass::Unknown)
            })
        };
        assert_eq!(after(0), Verdict::Lives(FailureClass::Unknown));
        assert_eq!(
            after(MAX_REFUSALS - 2),
            Verdict::Lives(FailureClass::Unknown)
        );
        assert_eq!(
            after(MAX_REFUSALS - 1),
            Verdict::Dead(FailureClass::Refused)
        );
    }

    #[test]
    fn a_changed_client_is_reported_and_a_burst_ends_no_grant() {
        let invalid = refusal(FailureClass::InvalidRefreshToken);
        let changed = Refusal {
            client_changed: true,
            ..invalid
        };
        let burst = Refusal {
            burst: true,
            ..invalid
        };
        assert_eq!(judge(changed), Verdict::Dead(FailureClass::ClientChanged));
        assert_eq!(judge(burst), Verdict::Lives(FailureClass::GrantsRefused));
        let unknown = Refusal {
            class: FailureClass::Unknown,
            refusals: MAX_REFUSALS,
            ..burst
        };
        assert_eq!(judge(unknown), Verdict::Lives(FailureClass::GrantsRefused));
    }

    // R33
    #[test]
    fn a_lost_rotation_has_its_own_reason_if_the_provider_is_strict() {
        let second = |rotation| {
            judge(Refusal {
                rotation,
                attempts: 2,
                ..refusal(FailureClass::InvalidRefreshToken)
            })
        };
        let lost = Verdict::Dead(FailureClass::RotationLost);
        let invalid = Verdict::Dead(FailureClass::InvalidRefreshToken);
        assert_eq!(second(Rotation::Strict), lost);
        assert_eq!(second(Rotation::Soft), invalid);
        assert_eq!(second(Rotation::None), invalid);
    }
}
