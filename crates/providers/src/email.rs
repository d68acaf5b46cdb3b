//! Mail addresses: whether the provider says that one is verified, and may say so.

use std::collections::BTreeSet;

use latchkey_config::{ConfigErrors, read_all};
use latchkey_domain::{DomainName, Handle};

use crate::claims::Claims;
use crate::reader::Reader;
use crate::{EmailStatus, Unverified};

/// Claim with the mail address, unless another one is configured.
pub(crate) const CLAIM: &str = "email";

/// For which addresses a provider may vouch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EmailRule {
    /// Domains for which it may vouch; all domains if this is empty.
    pub domains: BTreeSet<DomainName>,
    /// Addresses of these domains are verified whatever the provider says.
    pub trusted: bool,
}

/// What decides about the mail address of a person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EmailSettings<'a> {
    /// Claim with the address.
    pub claim: &'a str,
    pub rule: &'a EmailRule,
    /// The tenant, if the people of exactly one tenant may sign in.
    pub only_tenant: Option<&'a str>,
}

impl EmailRule {
    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, ConfigErrors> {
        read_all! {
            let domains = reader.domains("EMAIL_DOMAINS");
            let trusted = reader.flag("TRUST_EMAIL", false);
        }
        if trusted && domains.is_empty() {
            let problem = format!(
                "is true, but {} is missing: set that to the domains whose addresses this \
                 provider gives out",
                reader.name("EMAIL_DOMAINS")
            );
            return Err(reader.error("TRUST_EMAIL", problem).into());
        }
        Ok(Self { domains, trusted })
    }

    pub(crate) fn status(&self, email: &EmailClaims) -> EmailStatus {
        let Some(address) = &email.address else {
            return EmailStatus::Unverified(Unverified::NotSaid);
        };
        if !self.domains.is_empty() && !self.domains.contains(address.domain()) {
            return EmailStatus::Unverified(Unverified::OtherDomain {
                may_vouch_for: self.domains.iter().cloned().map(String::from).collect(),
            });
        }
        if self.trusted || email.verified == Some(true) {
            EmailStatus::Verified
        } else {
            EmailStatus::Unverified(Unverified::NotSaid)
        }
    }
}

/// The claims about the mail address (OpenID Connect Core section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmailClaims {
    pub address: Option<Handle>,
    pub verified: Option<bool>,
    /// The claim is present, perhaps with an invalid address.
    is_present: bool,
}

impl EmailClaims {
    /// Reads the address from `claim`. `email_verified` is about `email` alone, so it is
    /// about an address in another claim only if both are equal.
    pub(crate) fn of(claims: &Claims, claim: &str) -> Self {
        let address = claims.handle(claim);
        let is_about_it = claim == CLAIM || claims.handle(CLAIM) == address;
        Self {
            verified: claims.flag("email_verified").filter(|_| is_about_it),
            is_present: claims.0.get(claim).is_some_and(|email| !email.is_null()),
            address,
        }
    }

    /// Joins the claims of an ID token with those of `userinfo`. The ID token takes
    /// precedence, and `email_verified` counts only for its own address.
    pub(crate) fn joined_with(self, userinfo: Self) -> Self {
        let is_present = self.is_present || userinfo.is_present;
        let (address, verified) = match (self.address, userinfo.address) {
            (Some(signed), other) => {
                let same = other.as_ref() == Some(&signed) || !userinfo.is_present;
                let verified = self.verified.or(userinfo.verified.filter(|_| same));
                (Some(signed), verified)
            }
            (None, other) => {
                let denied = self.verified.filter(|verified| !verified);
                (other, denied.or(userinfo.verified).or(self.verified))
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

    fn email_claims(claims: &Value) -> EmailClaims {
        EmailClaims::of(&Claims(claims.as_object().cloned().unwrap()), CLAIM)
    }

    fn joined(id_token: &Value, userinfo: &Value) -> (Option<String>, Option<bool>) {
        let joined = email_claims(id_token).joined_with(email_claims(userinfo));
        (joined.address.map(String::from), joined.verified)
    }

    // R3
    #[test]
    fn claims_are_joined_and_signed_claims_take_precedence() {
        let ada = || Some("ada@acme.example".to_owned());
        let address = json!({"email": "ada@acme.example"});
        let complete = json!({"email": "ada@acme.example", "email_verified": true});
        let denied = json!({"email": "ada@acme.example", "email_verified": false});
        // Okta without changes of its configuration.
        assert_eq!(joined(&address, &complete), (ada(), Some(true)));
        let flag = json!({"email_verified": true});
        assert_eq!(joined(&address, &flag), (ada(), Some(true)));
        assert_eq!(joined(&json!({}), &complete), (ada(), Some(true)));
        assert_eq!(joined(&flag, &address), (ada(), Some(true)));
        assert_eq!(joined(&denied, &complete), (ada(), Some(false)));
        assert_eq!(joined(&complete, &denied), (ada(), Some(true)));
        assert_eq!(
            joined(&json!({"email_verified": false}), &complete),
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
            let email = EmailClaims::of(&claims, "upn");
            (email.address.map(String::from), email.verified)
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
            email_claims(&json!({"email": email, "email_verified": verified}))
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
            any.status(&email_claims(&json!({"email_verified": true}))),
            not_said
        );
    }
}
