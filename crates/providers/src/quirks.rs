//! What sets a provider apart from a plain OpenID provider.
//!
//! Each built-in provider implements [`Quirks`] in a file of its own. A method that is
//! not overridden does what is right for any provider that follows the standards.

use std::fmt;

use jsonwebtoken::Algorithm;
use latchkey_domain::Handle;
use serde_json::{Map, Value};

use crate::claims::Claims;
use crate::email::{EmailClaims, EmailSettings};
use crate::{AuthorizeRequest, EmailStatus, FailureClass, IdTokenError};

/// How one provider differs from the standards.
pub(crate) trait Quirks: fmt::Debug + Send + Sync {
    /// Algorithms that may sign its ID tokens, whatever its discovery document announces.
    /// `None`: those of the announced algorithms that are supported.
    fn signing_algorithms(&self) -> Option<&'static [Algorithm]> {
        None
    }

    /// Returns `true` if the provider documents `prompt=select_account` without
    /// announcing it in its discovery document.
    fn documents_select_account(&self) -> bool {
        false
    }

    /// Further parameters of the authorize URL. `prompts` are the values of `prompt`, the
    /// most important one first. `with_data` is `true` if data scopes are requested.
    fn authorize_parameters(
        &self,
        _request: &AuthorizeRequest,
        prompts: &[&str],
        _with_data: bool,
    ) -> Vec<(&'static str, String)> {
        joined_prompts(prompts).into_iter().collect()
    }

    /// Further parameters of a refresh. `challenge` is the claims challenge of an API.
    fn refresh_parameters(&self, _challenge: Option<&str>) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// A scope of a token response in the form in which it is stored.
    fn stored_scope<'a>(&self, scope: &'a str) -> &'a str {
        scope
    }

    /// The stable identifier of the person. `configured` is the claim that the operator
    /// chose instead of `sub`.
    ///
    /// # Errors
    /// The claim is absent or has the wrong form.
    fn subject(&self, claims: &Claims, configured: Option<&str>) -> Result<String, IdTokenError> {
        let subject = match configured {
            Some(name) => claims
                .text(name)
                .ok_or_else(|| IdTokenError::SubjectClaim(name.to_owned()))?,
            None => claims.text("sub").ok_or(IdTokenError::Subject)?,
        };
        Ok(subject.to_owned())
    }

    /// The tenant that a [`subject`](Self::subject) contains.
    fn tenant_of_subject<'a>(&self, _subject: &'a str) -> Option<&'a str> {
        None
    }

    /// The mail address of the person, and whether it is verified.
    fn email(
        &self,
        claims: &Claims,
        settings: &EmailSettings<'_>,
    ) -> (Option<Handle>, EmailStatus) {
        let email = EmailClaims::of(claims, settings.claim);
        let status = settings.rule.status(&email);
        (email.address, status)
    }

    /// The organisation that owns the account, if the ID token names one.
    fn hosted_domain(&self, _claims: &Claims) -> Option<String> {
        None
    }

    /// The tenant of the account, if the provider has tenants.
    fn tenant(&self, _claims: &Claims) -> Option<String> {
        None
    }

    /// Returns `true` if a verified address of `domain` proves that the person belongs to
    /// the domain only together with a [`hosted_domain`](Self::hosted_domain).
    fn needs_hosted_domain(&self, _domain: &str) -> bool {
        false
    }

    /// Returns `true` if the userinfo endpoint is asked for claims that the ID token
    /// lacks.
    fn uses_userinfo(&self) -> bool {
        true
    }

    /// Returns `true` if the provider may refuse one grant with status 500, as Dex does
    /// when the person is gone.
    fn refuses_grants_with_500(&self) -> bool {
        true
    }

    /// Numbers in an error response that say more than `error` does, the most important
    /// one first.
    fn error_numbers(&self, _body: &Map<String, Value>, _description: Option<&str>) -> Vec<u64> {
        Vec::new()
    }

    /// What stands before an error number in [`TokenError::code`](crate::TokenError::code).
    fn error_number_prefix(&self) -> &'static str {
        ""
    }

    /// The class of a failure after its error numbers are considered. `by_error` is the
    /// class by `error`, description and status.
    fn class_of_error_numbers(&self, by_error: FailureClass, _numbers: &[u64]) -> FailureClass {
        by_error
    }

    /// Where the operator enters redirect URIs at the provider.
    fn registration(&self) -> Registration {
        Registration {
            redirect_uris: "the client's redirect URIs at the provider",
            origins: "origins, where the provider asks for them",
            note: "",
        }
    }
}

/// The parameter `prompt` with all values (OpenID Connect Core section 3.1.2.1).
pub(crate) fn joined_prompts(prompts: &[&str]) -> Option<(&'static str, String)> {
    (!prompts.is_empty()).then(|| ("prompt", prompts.join(" ")))
}

/// A provider that follows the standards.
#[derive(Debug)]
pub(crate) struct Plain;

impl Quirks for Plain {}

/// Where the operator registers the client at a provider: texts for `redirect-uris`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// Place for the redirect URIs.
    pub redirect_uris: &'static str,
    /// Place for the origins.
    pub origins: &'static str,
    /// What else must be set there; empty if nothing.
    pub note: &'static str,
}

/// One row of the table of errors: an error code, perhaps with a part of its description,
/// and the class of failure that it means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorRow {
    /// Error code in lower case.
    pub error: &'static str,
    /// What the description must contain, in lower case; empty if any description will do.
    pub description: &'static str,
    /// Class of the failure.
    pub class: FailureClass,
    /// Page or source file that documents it.
    pub source: &'static str,
}

/// A row, in the order of the columns of the table.
pub(crate) const fn row(
    error: &'static str,
    description: &'static str,
    class: FailureClass,
    source: &'static str,
) -> ErrorRow {
    ErrorRow {
        error,
        description,
        class,
        source,
    }
}
