//! Whether a provider of a definition vouches for an address, and may.

use std::collections::BTreeSet;

use latchkey_config::ConfigError;
use latchkey_domain::{DomainName, Handle};

use crate::claims::Claims;
use crate::definition::Reader;
use crate::{EmailStatus, Unverified};

/// The claim that holds an address, unless another is configured.
pub(crate) const CLAIM: &str = "email";

/// For what a provider may vouch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EmailRule {
    /// Domains that it may vouch for; any if this is empty.
    pub domains: BTreeSet<DomainName>,
    /// Within these domains an address is verified whatever the provider says.
    pub trusted: bool,
}

impl EmailRule {
    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        let domains = reader.domains("EMAIL_DOMAINS")?;
        let trusted = reader.flag("TRUST_EMAIL", false)?;
        if trusted && domains.is_empty() {
            let problem = format!(
                "is true, but {} is missing: set that to the domains whose addresses this \
                 provider gives out",
                reader.name("EMAIL_DOMAINS")
            );
            return Err(reader.error("TRUST_EMAIL", problem));
        }
        Ok(Self { domains, trusted })
    }

    pub(crate) fn status(&self, said: &EmailClaims) -> EmailStatus {
        let Some(address) = &said.address else {
            return EmailStatus::Unverified(Unverified::NotSaid);
        };
        if !self.domains.is_empty() && !self.domains.contains(address.domain()) {
            return EmailStatus::Unverified(Unverified::OtherDomain {
                may_vouch_for: self.domains.iter().cloned().map(String::from).collect(),
            });
        }
        if self.trusted || said.verified == Some(true) {
            EmailStatus::Verified
        } else {
            EmailStatus::Unverified(Unverified::NotSaid)
        }
    }
}

/// What claims say of an address (OpenID Connect Core section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmailClaims {
    pub address: Option<Handle>,
    pub verified: Option<bool>,
    /// An address stands there, even if it is not a valid one.
    is_present: bool,
}

impl EmailClaims {
    /// `claim` holds the address. `email_verified` is said of `email` alone, so of an
    /// address in another claim only if it is the same.
    pub(crate) fn of(claims: &Claims, claim: &str) -> Self {
        let address = claims.handle(claim);
        let said_of_it = claim == CLAIM || claims.handle(CLAIM) == address;
        Self {
            verified: claims.flag("email_verified").filter(|_| said_of_it),
            is_present: claims.0.get(claim).is_some_and(|email| !email.is_null()),
            address,
        }
    }

    /// This of an ID token together with `userinfo`. What is signed wins, and a
    /// verification counts only for the address that it was said of.
    pub(crate) fn joined_with(self, userinfo: Self) -> Self {
        let is_present = self.is_present || userinfo.is_present;
        let (address, verified) = match (self.address, userinfo.address) {
            (Some(signed), told) => {
                let same = told.as_ref() == Some(&signed) || !userinfo.is_present;
                let verified = self.verified.or(userinfo.verified.filter(|_| same));
                (Some(signed), verified)
            }
            (None, told) => {
                let denied = self.verified.filter(|verified| !verified);
                (told, denied.or(userinfo.verified).or(self.verified))
            }
        };
        Self {
            address,
            verified,
            is_present,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(claims: &Value) -> EmailClaims {
        EmailClaims::of(&Claims(claims.as_object().cloned().unwrap()), CLAIM)
    }

    fn joined(id_token: &Value, userinfo: &Value) -> (Option<String>, Option<bool>) {
        let joined = said(id_token).joined_with(said(userinfo));
        (joined.address.map(String::from), joined.verified)
    }

    // R3
    #[test]
    fn claims_are_joined_and_what_is_signed_wins() {
        let ada = || Some("ada@acme.example".to_owned());
        let address = json!({"email": "ada@acme.example"});
        let whole = json!({"email": "ada@acme.example", "email_verified": true});
        let denied = json!({"email": "ada@acme.example", "email_verified": false});
        // A stock Okta.
        assert_eq!(joined(&address, &whole), (ada(), Some(true)));
        let flag = json!({"email_verified": true});
        assert_eq!(joined(&address, &flag), (ada(), Some(true)));
        assert_eq!(joined(&json!({}), &whole), (ada(), Some(true)));
        assert_eq!(joined(&flag, &address), (ada(), Some(true)));
        assert_eq!(joined(&denied, &whole), (ada(), Some(false)));
        assert_eq!(joined(&whole, &denied), (ada(), Some(true)));
        assert_eq!(
            joined(&json!({"email_verified": false}), &whole),
            (ada(), Some(false))
        );
    }

    // R7
    #[test]
    fn a_verification_counts_only_for_its_own_address() {
        let signed = json!({"email": "ada@acme.example"});
        for other in [
            json!({"email": "eve@evil.example", "email_verified": true}),
            json!({"email": "not an address", "email_verified": true}),
            json!({"email": 7, "email_verified": true}),
        ] {
            let (address, verified) = joined(&signed, &other);
            assert_eq!(address.as_deref(), Some("ada@acme.example"));
            assert_eq!(verified, None, "{other}");
        }
    }

    // R7
    #[test]
    fn a_verification_is_of_the_claim_email_alone() {
        let of = |claims: Value| {
            let claims = Claims(claims.as_object().cloned().unwrap());
            let said = EmailClaims::of(&claims, "upn");
            (said.address.map(String::from), said.verified)
        };
        let ada = Some("ada@acme.example".to_owned());
        let upn = json!({"upn": "ada@acme.example", "email_verified": true});
        assert_eq!(of(upn), (ada.clone(), None));
        let other = json!({
            "upn": "ada@acme.example", "email": "eve@evil.example", "email_verified": true,
        });
        assert_eq!(of(other), (ada.clone(), None));
        let same = json!({
            "upn": "ada@acme.example", "email": "Ada@acme.example", "email_verified": true,
        });
        assert_eq!(of(same), (ada, Some(true)));
        assert_eq!(of(json!({"email": "ada@acme.example"})), (None, None));
    }

    // R7
    #[test]
    fn a_provider_vouches_within_its_domains() {
        let rule = |trusted| EmailRule {
            domains: ["acme.example".parse().unwrap()].into(),
            trusted,
        };
        let of = |email: &str, verified: Value| {
            said(&json!({"email": email, "email_verified": verified}))
        };
        let verified = EmailStatus::Verified;
        let not_said = EmailStatus::Unverified(Unverified::NotSaid);
        let outside = EmailStatus::Unverified(Unverified::OtherDomain {
            may_vouch_for: vec!["acme.example".to_owned()],
        });
        for (trusted, email, claim, expected) in [
            (false, "ada@acme.example", json!(true), &verified),
            (false, "ada@acme.example", json!("True"), &verified),
            (false, "ada@acme.example", json!("1"), &not_said),
            (false, "ada@acme.example", json!(null), &not_said),
            (false, "ada@globex.example", json!(true), &outside),
            (false, "ada@eu.acme.example", json!(true), &outside),
            (true, "ada@acme.example", json!(false), &verified),
            (true, "ada@acme.example", json!(null), &verified),
            (true, "ada@globex.example", json!(true), &outside),
        ] {
            let status = rule(trusted).status(&of(email, claim.clone()));
            assert_eq!(&status, expected, "{trusted} {email} {claim}");
        }
        let any = EmailRule::default();
        assert_eq!(any.status(&of("a@b.example", json!(true))), verified);
        assert_eq!(
            any.status(&said(&json!({"email_verified": true}))),
            not_said
        );
    }
}
