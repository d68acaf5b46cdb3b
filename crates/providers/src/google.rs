//! Google.
//!
//! Google keeps the refresh token when it is used. It gives one only for
//! `access_type=offline` with consent. The claim `hd` names the organisation.
//!
//! Variables: `AUTH_GOOGLE_ENABLED`, `_CLIENT_ID`, `_CLIENT_SECRET`, those of
//! `client_auth/settings.rs`, `_CALLBACK_URL`, `_APIS_CALLBACK_URL`, `_ISSUER`, `_LABEL`,
//! `_SCOPES`, `_MESSAGING_SCOPES`, `_CALENDAR_SCOPES`, `_AUTO_CONNECT`, `_AUTO_CONNECT_DOMAINS`,
//! `_SELECT_ACCOUNT`, `_SIGN_OUT`; `_ACR_VALUES` and `_MAX_AGE` are refused;
//! `MESSAGING_PROVIDER_GMAIL_ENABLED`, `CALENDAR_PROVIDER_GOOGLE_ENABLED`.

use jsonwebtoken::Algorithm;
use latchkey_config::{ConfigError, ConfigErrors};
use latchkey_domain::{DomainName, ProviderName};
use url::Url;

use crate::built_in::{BuiltIn, Data};
use crate::claims::Claims;
use crate::definition::Definition;
use crate::issuer::IssuerRule;
use crate::quirks::{ErrorRow, Quirks, Registration, joined_prompts, row};
use crate::reader::Reader;
use crate::{AuthorizationError, AuthorizeRequest, FailureClass as C, RevocationReach, Rotation};

const ISSUER: &str = "https://accounts.google.com";

/// Consumer domains whose mail host is Google itself.
const OWN_DOMAINS: [&str; 2] = ["gmail.com", "googlemail.com"];

pub(crate) static GOOGLE: BuiltIn = BuiltIn {
    name: ProviderName::GOOGLE,
    quirks: &Google,
    label: "Google",
    logo: include_str!("logos/google.svg"),
    // A parameter requests offline access.
    offline: "",
    rotation: Rotation::None,
    // https://developers.google.com/identity/protocols/oauth2/web-server#tokenrevoke
    revocation: RevocationReach::PersonAndClient,
    messages: Data {
        switch: "MESSAGING_PROVIDER_GMAIL_ENABLED",
        scopes: "https://www.googleapis.com/auth/gmail.readonly \
                 https://www.googleapis.com/auth/gmail.send \
                 https://www.googleapis.com/auth/gmail.compose \
                 https://www.googleapis.com/auth/profile.emails.read",
        readers: &["https://www.googleapis.com/auth/gmail.readonly"],
    },
    calendar: Data {
        switch: "CALENDAR_PROVIDER_GOOGLE_ENABLED",
        scopes: "https://www.googleapis.com/auth/calendar.events",
        readers: &["https://www.googleapis.com/auth/calendar.events.readonly"],
    },
    errors: ERRORS,
    authorization_errors: &[
        ("admin_policy_enforced", AuthorizationError::BlockedByAdmin),
        ("org_internal", AuthorizationError::BlockedByAdmin),
        ("disallowed_useragent", AuthorizationError::BlockedByAdmin),
        ("redirect_uri_mismatch", AuthorizationError::Misconfigured),
    ],
    issuer,
    check: refuse_authentication_requirement,
};

const WEB: &str =
    "https://developers.google.com/identity/protocols/oauth2/web-server#authorization-errors";
const REAUTH: &str =
    "https://github.com/googleapis/google-auth-library-python/blob/main/google/oauth2/reauth.py";
const EXPIRY: &str = "https://developers.google.com/identity/protocols/oauth2#expiration";

#[rustfmt::skip]
const ERRORS: &[ErrorRow] = &[
    row("invalid_grant", "account has been deleted", C::AccountDisabled, EXPIRY),
    row("invalid_rapt", "", C::ReauthPolicy, REAUTH),
    row("rapt_required", "", C::ReauthPolicy, REAUTH),
    row("admin_policy_enforced", "", C::BlockedByAdmin, WEB),
    row("org_internal", "", C::BlockedByAdmin, WEB),
    row("deleted_client", "", C::ClientMisconfigured, WEB),
    row("disabled_client", "", C::ClientMisconfigured, WEB),
    row("redirect_uri_mismatch", "", C::RequestRejected, WEB),
];

fn issuer(reader: &Reader<'_>) -> Result<(Url, IssuerRule), ConfigErrors> {
    let (issuer, url) = reader.issuer("ISSUER", Some(ISSUER))?;
    let rule = IssuerRule::Exact {
        issuer,
        tenant: None,
    };
    Ok((url, rule))
}

/// Google's ID tokens have neither `acr` nor `auth_time`.
fn refuse_authentication_requirement(definition: &Definition) -> Result<(), ConfigError> {
    let parameters = definition.authentication.parameters();
    let Some((name, _)) = parameters.first() else {
        return Ok(());
    };
    Err(ConfigError::new(
        format!("AUTH_GOOGLE_{}", name.to_uppercase()),
        "is set, but Google says neither how nor when a person authenticated, so nobody could \
         sign in: remove it, and require a second factor in the Google Admin console",
    ))
}

#[derive(Debug)]
pub(crate) struct Google;

impl Quirks for Google {
    fn signing_algorithms(&self) -> Option<&'static [Algorithm]> {
        Some(&[Algorithm::RS256])
    }

    fn documents_select_account(&self) -> bool {
        true
    }

    fn authorize_parameters(
        &self,
        request: &AuthorizeRequest,
        prompts: &[&str],
        with_data: bool,
    ) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        if with_data {
            parameters.push(("access_type", "offline".to_owned()));
            // A later grant with fewer scopes then has the earlier scopes too, so that a
            // plain sign-in does not take scopes away from a mailbox's token.
            parameters.push(("include_granted_scopes", "true".to_owned()));
        }
        parameters.extend(joined_prompts(prompts));
        if let Some(domain) = &request.hosted_domain {
            parameters.push(("hd", domain.clone()));
        }
        parameters
    }

    /// Any text in the claim names an organisation; a domain is converted to its ASCII
    /// form.
    fn hosted_domain(&self, claims: &Claims) -> Option<String> {
        let text = claims.text("hd")?;
        Some(
            text.parse::<DomainName>()
                .map_or_else(|_| text.to_lowercase(), String::from),
        )
    }

    /// `email_verified` says only that the address was verified once. Without `hd` the
    /// domain may have another owner today, unless Google is its mail host.
    fn needs_hosted_domain(&self, domain: &str) -> bool {
        !OWN_DOMAINS.contains(&domain)
    }

    fn uses_userinfo(&self) -> bool {
        false
    }

    fn refuses_grants_with_500(&self) -> bool {
        false
    }

    fn registration(&self) -> Registration {
        Registration {
            redirect_uris: "Google Cloud console: APIs & Services, Credentials, the OAuth client, \
                            \"Authorized redirect URIs\"",
            origins: "\"Authorized JavaScript origins\"",
            note: "",
        }
    }
}
