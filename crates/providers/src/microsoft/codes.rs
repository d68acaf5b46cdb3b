//! Microsoft's AADSTS numbers.
//!
//! The error code decides. A number may make the class less severe or more specific, and
//! never makes a class terminal: throttling (50196) is sent as `invalid_grant`.

use crate::FailureClass;

/// Each number with Microsoft's name. Source of every row:
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>; for a
/// single number: `https://login.microsoftonline.com/error?code=70008`.
#[rustfmt::skip]
const TABLE: &[(u64, &str, FailureClass)] = &[
    (70000, "InvalidGrant", FailureClass::InvalidRefreshToken),
    (70008, "ExpiredOrRevokedGrant", FailureClass::InvalidRefreshToken),
    (700_082, "ExpiredOrRevokedGrantInactiveToken", FailureClass::InvalidRefreshToken),
    (700_084, "a single-page application's, 24 hours old", FailureClass::InvalidRefreshToken),
    (50173, "FreshTokenNeeded", FailureClass::InvalidRefreshToken),
    (50089, "flow token expired", FailureClass::InvalidRefreshToken),
    (50132, "SsoArtifactInvalidOrExpired", FailureClass::InvalidRefreshToken),
    (50133, "SsoArtifactRevoked", FailureClass::InvalidRefreshToken),
    (70043, "BadTokenDueToSignInFrequency", FailureClass::ReauthPolicy),
    (50072, "UserStrongAuthEnrollmentRequiredInterrupt", FailureClass::InteractionRequired),
    (50074, "UserStrongAuthClientAuthNRequiredInterrupt", FailureClass::InteractionRequired),
    (50076, "UserStrongAuthClientAuthNRequired", FailureClass::InteractionRequired),
    (50078, "UserStrongAuthExpired", FailureClass::InteractionRequired),
    (50079, "UserStrongAuthEnrollmentRequired", FailureClass::InteractionRequired),
    (50158, "ExternalSecurityChallenge", FailureClass::InteractionRequired),
    (65001, "DelegationDoesNotExist", FailureClass::ConsentRequired),
    (65004, "UserDeclinedConsent", FailureClass::ConsentRequired),
    (53000, "DeviceNotCompliant", FailureClass::BlockedByAdmin),
    (53001, "DeviceNotDomainJoined", FailureClass::BlockedByAdmin),
    (53002, "ApplicationUsedIsNotAnApprovedApp", FailureClass::BlockedByAdmin),
    (53003, "BlockedByConditionalAccess", FailureClass::BlockedByAdmin),
    (530_032, "BlockedByConditionalAccessOnSecurityPolicy", FailureClass::BlockedByAdmin),
    (530_035, "BlockedBySecurityDefaults", FailureClass::BlockedByAdmin),
    (50105, "EntitlementGrantsNotFound", FailureClass::BlockedByAdmin),
    (500_212, "NotAllowedByOutboundPolicyTenant", FailureClass::BlockedByAdmin),
    (500_213, "NotAllowedByInboundPolicyTenant", FailureClass::BlockedByAdmin),
    (50057, "UserDisabled", FailureClass::AccountDisabled),
    (50034, "UserAccountNotFound", FailureClass::AccountDisabled),
    (51004, "UserAccountNotInDirectory", FailureClass::AccountDisabled),
    (70001, "UnauthorizedClient", FailureClass::ClientMisconfigured),
    (70002, "InvalidClient", FailureClass::ClientMisconfigured),
    (700_011, "UnauthorizedClientAppNotFoundInOrgIdTenant", FailureClass::ClientMisconfigured),
    (700_016, "UnauthorizedClient_DoesNotMatchRequest", FailureClass::ClientMisconfigured),
    (700_027, "client assertion failed signature validation", FailureClass::ClientMisconfigured),
    (7_000_112, "UnauthorizedClientApplicationDisabled", FailureClass::ClientMisconfigured),
    (7_000_215, "invalid client secret", FailureClass::ClientMisconfigured),
    (7_000_222, "InvalidClientSecretExpiredKeysProvided", FailureClass::ClientMisconfigured),
    (900_144, "a parameter is missing in the body", FailureClass::RequestRejected),
    (90014, "MissingRequiredField", FailureClass::RequestRejected),
    (70003, "UnsupportedGrantType", FailureClass::RequestRejected),
    (9_002_313, "InvalidRequest", FailureClass::RequestRejected),
    (70011, "InvalidScope", FailureClass::ScopeInvalid),
    (28002, "scope is not valid for an access token", FailureClass::ScopeInvalid),
    (500_011, "InvalidResourceServicePrincipalNotFound", FailureClass::ScopeInvalid),
    (650_057, "invalid resource", FailureClass::ScopeInvalid),
    (50196, "LoopDetected", FailureClass::RateLimit),
    (90055, "TenantThrottlingError", FailureClass::RateLimit),
    (50033, "RetryableError", FailureClass::ProviderUnavailable),
    (50087, "SasRetryableError", FailureClass::ProviderUnavailable),
    (70012, "MsaServerError", FailureClass::ProviderUnavailable),
    (90006, "ExternalServerRetryableError", FailureClass::ProviderUnavailable),
    (90012, "RequestTimeout", FailureClass::ProviderUnavailable),
    (90024, "RequestBudgetExceededError", FailureClass::ProviderUnavailable),
    (90033, "MsodsServiceUnavailable", FailureClass::ProviderUnavailable),
    (90090, "GraphRetryableError", FailureClass::ProviderUnavailable),
];

/// The class of one number. `None` if the number is unknown.
fn class_of(number: u64) -> Option<FailureClass> {
    TABLE
        .iter()
        .find(|(known, _, _)| *known == number)
        .map(|(_, _, class)| *class)
}

/// Returns `true` for a class that is about the grant. A number may replace it by another
/// class that is about the grant.
const fn concerns_grant(class: FailureClass) -> bool {
    class.is_terminal() || class.heals()
}

/// The class after the numbers are considered.
pub(super) fn class_of_codes(by_error: FailureClass, numbers: &[u64]) -> FailureClass {
    let classes = || numbers.iter().filter_map(|number| class_of(*number));
    classes()
        .find(|class| class.is_retryable())
        .or_else(|| classes().find(|class| concerns_grant(by_error) || !concerns_grant(*class)))
        .unwrap_or(by_error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // R32
    #[test]
    fn a_number_never_makes_a_class_terminal() {
        for number in 0..1_000_000 {
            let class = class_of_codes(FailureClass::Unknown, &[number]);
            assert!(!concerns_grant(class), "{number}");
        }
    }

    #[test]
    fn the_less_severe_number_decides() {
        let class = class_of_codes(FailureClass::InvalidRefreshToken, &[50173, 50196]);
        assert_eq!(class, FailureClass::RateLimit);
    }

    proptest! {
        #[test]
        fn an_error_of_the_client_never_ends_a_grant(numbers in prop::collection::vec(0_u64..10_000_000, 0..4)) {
            let class = class_of_codes(FailureClass::ClientMisconfigured, &numbers);
            prop_assert!(!class.is_terminal());
        }
    }
}
