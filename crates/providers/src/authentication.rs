//! How and when a person authenticated at the provider: what is required (`acr_values` and
//! `max_age`, OpenID Connect Core section 3.1.2.1), and what the ID token says (`acr` and
//! `auth_time`, section 2).

use std::time::Duration;

use latchkey_config::{ConfigError, ConfigErrors, parse_duration, read_all};
use time::OffsetDateTime;

use crate::claims::{Claims, LEEWAY};
use crate::reader::Reader;
use crate::{IdTokenError, Mismatch};

const ACR_VALUES: &str = "ACR_VALUES";
const MAX_AGE: &str = "MAX_AGE";
/// Shortest configurable `max_age`. The time that a person spends on the provider's pages after
/// the password, such as on a consent page, counts too.
const SHORTEST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(365 * 24);
/// Maximum length of an `acr` that is kept, in bytes.
const MAX_ACR: usize = 255;

/// How and when a person authenticated at the provider, as a verified ID token says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthenticationContext {
    /// Class of the authentication (`acr`), 255 bytes at most.
    pub acr: Option<String>,
    /// When the person authenticated (`auth_time`).
    pub time: Option<OffsetDateTime>,
}

/// What is required of the authentication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AuthenticationRequirement {
    /// Accepted values of `acr`, the preferred one first. If it is empty, any is accepted.
    acr_values: Vec<String>,
    /// Maximum time since the person authenticated.
    max_age: Option<Duration>,
}

impl AuthenticationRequirement {
    /// Reads `…_ACR_VALUES` and `…_MAX_AGE`.
    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, ConfigErrors> {
        read_all! {
            let acr_values = reader.environment.list(&reader.name(ACR_VALUES));
            let max_age = max_age(reader);
        }
        Ok(Self {
            acr_values,
            max_age,
        })
    }

    /// Parameters of the authorization request.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let acr = (!self.acr_values.is_empty()).then(|| ("acr_values", self.acr_values.join(" ")));
        let age = self
            .max_age
            .map(|age| ("max_age", age.as_secs().to_string()));
        acr.into_iter().chain(age).collect()
    }

    /// Returns `true` if some values of `acr` are required.
    pub(crate) fn has_acr_values(&self) -> bool {
        !self.acr_values.is_empty()
    }

    /// Checks the ID token of a sign-in.
    ///
    /// # Errors
    /// `acr` is none of the required values; `auth_time` is too long ago, in the future, or
    /// absent although `max_age` was sent.
    pub(crate) fn check(
        &self,
        claims: &Claims,
        now: OffsetDateTime,
    ) -> Result<AuthenticationContext, IdTokenError> {
        let acr = claims.text("acr");
        let accepted = |acr: &str| self.acr_values.iter().any(|value| value == acr);
        if !self.acr_values.is_empty() && !acr.is_some_and(accepted) {
            let required = self.acr_values.join(" or ");
            return Err(IdTokenError::AuthenticationClass(Mismatch::new(
                &required, acr,
            )));
        }
        let time = claims.time("auth_time");
        let latest = (now + LEEWAY).unix_timestamp();
        if let Some(max_age) = self.max_age {
            let time = time.ok_or(IdTokenError::NoAuthenticationTime)?;
            let earliest = (now - max_age - LEEWAY).unix_timestamp();
            let both = |bound: String| Mismatch::new(&bound, Some(&time.to_string()));
            if time > latest {
                let both = both(format!("auth_time at most {latest}"));
                return Err(IdTokenError::NotYetValid(both));
            }
            if time < earliest {
                let both = both(format!("at least {earliest}"));
                return Err(IdTokenError::AuthenticationTooOld(both));
            }
        }
        Ok(AuthenticationContext {
            acr: acr
                .filter(|acr| acr.len() <= MAX_ACR && !acr.contains(char::is_control))
                .map(str::to_owned),
            time: time
                .filter(|time| (0..=latest).contains(time))
                .and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok()),
        })
    }
}

fn max_age(reader: &Reader<'_>) -> Result<Option<Duration>, ConfigError> {
    let Some(text) = reader.optional(MAX_AGE)? else {
        return Ok(None);
    };
    let age = parse_duration(&text)
        .ok()
        .filter(|age| (SHORTEST..=LONGEST).contains(age));
    let problem = "must be a length of time from 1m to 365d, such as 12h";
    age.map(Some).ok_or_else(|| reader.error(MAX_AGE, problem))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn check(
        requirement: &AuthenticationRequirement,
        claims: Value,
    ) -> Result<AuthenticationContext, IdTokenError> {
        let claims = Claims(serde_json::from_value(claims).unwrap());
        let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        requirement.check(&claims, now)
    }

    fn required(acr_values: &[&str], max_age: Option<u64>) -> AuthenticationRequirement {
        AuthenticationRequirement {
            acr_values: acr_values.iter().map(ToString::to_string).collect(),
            max_age: max_age.map(Duration::from_secs),
        }
    }

    // Core 3.1.2.1, 5.5.1.1: the operator requires what the request asks for.
    #[test]
    fn the_class_is_one_of_the_required_ones() {
        let gold = required(&["gold", "urn:silver"], None);
        for acr in ["gold", "urn:silver"] {
            let context = check(&gold, json!({ "acr": acr })).unwrap();
            assert_eq!(context.acr.as_deref(), Some(acr));
        }
        for claims in [
            json!({}),
            json!({ "acr": "0" }),
            json!({ "acr": "GOLD" }),
            json!({ "acr": "gold urn:silver" }),
            json!({ "acr": ["gold"] }),
            json!({ "acr": null }),
        ] {
            let refused = check(&gold, claims.clone());
            assert!(
                matches!(refused, Err(IdTokenError::AuthenticationClass(_))),
                "{claims}"
            );
        }
    }

    // Core 3.1.2.1: `auth_time` is required if `max_age` was sent. Core 3.1.3.7, step 13.
    #[test]
    fn the_authentication_is_not_older_than_max_age_and_the_clocks_difference() {
        let hour = required(&[], Some(3600));
        for time in [NOW, NOW - 3600, NOW - 3660, NOW + 60] {
            let context = check(&hour, json!({ "auth_time": time })).unwrap();
            assert_eq!(context.time.unwrap().unix_timestamp(), time);
        }
        let old = check(&hour, json!({ "auth_time": NOW - 3661 }));
        assert!(matches!(old, Err(IdTokenError::AuthenticationTooOld(_))));
        let future = check(&hour, json!({ "auth_time": NOW + 61 }));
        assert!(matches!(future, Err(IdTokenError::NotYetValid(_))));
        for claims in [json!({}), json!({ "auth_time": "yesterday" })] {
            let missing = check(&hour, claims);
            assert_eq!(missing, Err(IdTokenError::NoAuthenticationTime));
        }
    }

    #[test]
    fn what_is_not_required_is_kept_if_it_is_usable() {
        let any = AuthenticationRequirement::default();
        assert!(any.parameters().is_empty());
        let of = |claims: Value| check(&any, claims).unwrap();
        let context = of(json!({ "acr": "0", "auth_time": 1 }));
        assert_eq!(context.acr.as_deref(), Some("0"));
        assert_eq!(context.time.unwrap().unix_timestamp(), 1);
        for claims in [
            json!({}),
            json!({ "acr": "x".repeat(256), "auth_time": NOW + 61 }),
            json!({ "acr": "a\nb", "auth_time": -1 }),
            json!({ "acr": 1, "auth_time": {} }),
        ] {
            assert_eq!(
                of(claims.clone()),
                AuthenticationContext::default(),
                "{claims}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_time_panics(time in any::<f64>()) {
            let _ = check(&required(&[], Some(60)), json!({ "auth_time": time }));
        }
    }
}
