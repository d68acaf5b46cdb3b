//! The token that callers receive.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use latchkey_domain::{AccessToken, AccountId, ScopeSet};
use latchkey_proto::token as proto;
use latchkey_scopes::ScopeRules;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{Account, Reason, TokenError};

/// A valid access token. Cheap to clone: clones share one secret, which is wiped with
/// the last of them and is never printed.
#[derive(Clone)]
pub struct Token(Arc<Inner>);

struct Inner {
    secret: AccessToken,
    asked_as: Account,
    account_id: AccountId,
    version: i64,
    expires_at: OffsetDateTime,
    scopes: ScopeSet,
    scope_rules: ScopeRules,
    received_at: OffsetDateTime,
    /// Minimum life that was requested from the service.
    asked_minimum: Duration,
    /// Set if it replaced a token that the provider's API had refused.
    replacement: bool,
    refused: AtomicBool,
}

/// How the provider's scopes are compared; literally if the service does not name the
/// provider.
fn scope_rules(provider: &str) -> ScopeRules {
    provider
        .parse()
        .map_or(ScopeRules::EXACT, |provider| ScopeRules::of(&provider))
}

/// How a token was obtained.
pub(crate) struct Provenance {
    pub(crate) asked_as: Account,
    pub(crate) asked_minimum: Duration,
    pub(crate) replacement: bool,
    pub(crate) received_at: OffsetDateTime,
}

impl Token {
    pub(crate) fn from_answer(
        answer: Option<proto::AccessToken>,
        provenance: Provenance,
    ) -> Result<Self, TokenError> {
        let answer = answer.ok_or_else(|| malformed("contains no token"))?;
        let secret = AccessToken::new(answer.access_token);
        // RFC 6750 section 2.1: a bearer token is visible ASCII.
        let sendable = secret.expose().bytes().all(|b| b.is_ascii_graphic());
        if secret.expose().is_empty() || !sendable {
            return Err(malformed("contains a token that is not visible ASCII"));
        }
        if !answer.token_type.is_empty() && !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(malformed("contains a token of another type than Bearer"));
        }
        let expires_at = answer
            .expires_at
            .as_ref()
            .and_then(latchkey_proto::time_of)
            .ok_or_else(|| malformed("contains a token without an expiry"))?;
        let account_id = answer
            .account_id
            .parse()
            .map_err(|_| malformed("contains a token without an account id"))?;
        Ok(Self(Arc::new(Inner {
            secret,
            asked_as: provenance.asked_as,
            account_id,
            version: answer.version,
            expires_at,
            scopes: answer.granted_scopes.into_iter().collect(),
            scope_rules: scope_rules(&answer.provider),
            received_at: provenance.received_at,
            asked_minimum: provenance.asked_minimum,
            replacement: provenance.replacement,
            refused: AtomicBool::new(false),
        })))
    }

    /// The token in clear, for sending it.
    pub fn expose(&self) -> &str {
        self.0.secret.expose()
    }

    /// `Bearer <token>`, marked as sensitive so that it is not printed.
    pub fn authorization(&self) -> HeaderValue {
        let text = Zeroizing::new(format!("Bearer {}", self.expose()));
        // Checked on arrival to be visible ASCII: the conversion cannot fail.
        let mut value =
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }

    /// Id of the account, however it was requested.
    pub fn account_id(&self) -> AccountId {
        self.0.account_id
    }

    /// Increases with every new token of the account.
    pub fn version(&self) -> i64 {
        self.0.version
    }

    /// When the token expires.
    pub fn expires_at(&self) -> OffsetDateTime {
        self.0.expires_at
    }

    /// Scopes of the grant.
    pub fn granted_scopes(&self) -> &ScopeSet {
        &self.0.scopes
    }

    /// Returns `true` if the grant has these scopes, or wider ones that include them.
    pub fn satisfies(&self, scopes: &ScopeSet) -> bool {
        let missing = self.0.scope_rules.missing(&self.0.scopes, scopes);
        missing.is_empty()
    }

    /// Remaining life at `now`; zero if the token has expired.
    pub fn remaining(&self, now: OffsetDateTime) -> Duration {
        Duration::try_from(self.0.expires_at - now).unwrap_or_default()
    }

    /// Reports that the provider's API answered 401 to this token. It is not returned to
    /// callers again; the account's next caller gets a newer one. To get a newer one at
    /// once, use [`TokenClient::replace_after_401`].
    ///
    /// [`TokenClient::replace_after_401`]: crate::TokenClient::replace_after_401
    pub fn refused(&self) {
        self.0.refused.store(true, Ordering::Release);
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.0.refused.load(Ordering::Acquire)
    }

    pub(crate) fn asked_as(&self) -> &Account {
        &self.0.asked_as
    }

    /// Life that the token had on arrival.
    pub(crate) fn life(&self) -> Duration {
        self.remaining(self.0.received_at)
    }

    pub(crate) fn asked_minimum(&self) -> Duration {
        self.0.asked_minimum
    }

    /// Returns `true` if the token replaced a refused one less than `cool_down` ago.
    pub(crate) fn is_fresh_replacement(&self, now: OffsetDateTime, cool_down: Duration) -> bool {
        self.0.replacement && now - self.0.received_at < cool_down
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("secret", &"[redacted]")
            .field("account_id", &self.0.account_id)
            .field("version", &self.0.version)
            .field("expires_at", &self.0.expires_at)
            .field("granted_scopes", &self.0.scopes)
            .field("refused", &self.is_refused())
            .finish_non_exhaustive()
    }
}

fn malformed(problem: &str) -> TokenError {
    TokenError::OperatorProblem {
        reason: Reason::MalformedAnswer,
        message: format!("the service's answer {problem}"),
    }
}
