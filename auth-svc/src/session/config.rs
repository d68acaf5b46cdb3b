//! Configuration of sessions and tokens: lifetimes and signing keys.

use std::time::Duration;

use latchkey_config::{ConfigErrors, Environment, WebOrigin, read_all};

use crate::session::keys::SigningKeys;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(366 * 24);

/// Configuration of sessions.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Maximum lifetime of a session, whether it is used or not.
    pub lifetime: Duration,
    /// A session that is not used for this long ends.
    pub idle: Duration,
    /// Lifetime of an access token.
    pub access_lifetime: Duration,
    /// Lifetime of a refresh token. Each use issues a new token.
    pub refresh_lifetime: Duration,
    /// `iss` of access tokens.
    pub issuer: String,
    /// `aud` of access tokens.
    pub audience: String,
    /// The keys that sign access tokens.
    pub keys: SigningKeys,
    /// Whether a sign-in sets the cookie `tokenPair` (R9).
    pub token_pair_cookie: bool,
}

impl SessionConfig {
    /// Reads the environment variables.
    ///
    /// # Errors
    /// Returns the variables that are wrong or missing.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigErrors> {
        read_all! {
            let public = WebOrigin::public(environment);
            let lifetime = environment.duration("SESSION_EXPIRES_IN", 90 * DAY, MINUTE..=YEAR);
            let idle =
                environment.duration("SESSION_IDLE_EXPIRES_IN", 14 * DAY, 10 * MINUTE..=YEAR);
            // An access token cannot be revoked.
            let access_lifetime =
                environment.duration("ACCESS_TOKEN_EXPIRES_IN", 30 * MINUTE, MINUTE..=60 * MINUTE);
            let refresh_lifetime =
                environment.duration("REFRESH_TOKEN_EXPIRES_IN", 60 * DAY, MINUTE..=YEAR);
            let audience = environment.optional("ACCESS_TOKEN_AUDIENCE");
            let keys = environment
                .required_parsed("SESSION_SIGNING_KEYS", "what `latchkey keys generate` prints");
            let token_pair_cookie = environment.flag("TOKEN_PAIR_COOKIE_ENABLED", false);
        }
        let issuer = public.to_string();
        Ok(Self {
            lifetime,
            idle,
            access_lifetime,
            refresh_lifetime,
            audience: audience.unwrap_or_else(|| issuer.clone()),
            issuer,
            keys,
            token_pair_cookie,
        })
    }
}
