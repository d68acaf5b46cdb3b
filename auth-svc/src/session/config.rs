//! Configuration of sessions and tokens: lifetimes and signing keys.

use std::time::Duration;

use latchkey_config::{ConfigError, Environment};

use crate::http::origin::WebOrigin;
use crate::session::keys::SigningKeys;

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
    /// Returns the name of a variable that is wrong or missing.
    pub fn from_environment(
        environment: &Environment,
        public: &WebOrigin,
    ) -> Result<Self, ConfigError> {
        let between = |name: &str, default, (least, most, bounds): (Duration, Duration, &str)| {
            let value = environment.duration(name, default)?;
            if value < least || value > most {
                return Err(ConfigError::new(name, format!("must be between {bounds}")));
            }
            Ok(value)
        };
        let day = Duration::from_hours(24);
        let minute = Duration::from_mins(1);
        let long = (minute, YEAR, "1m and 366d");
        Ok(Self {
            lifetime: between("SESSION_EXPIRES_IN", 90 * day, long)?,
            idle: between(
                "SESSION_IDLE_EXPIRES_IN",
                14 * day,
                (10 * minute, YEAR, "10m and 366d"),
            )?,
            access_lifetime: between(
                "ACCESS_TOKEN_EXPIRES_IN",
                30 * minute,
                (
                    minute,
                    60 * minute,
                    "1m and 1h, because an access token cannot be revoked",
                ),
            )?,
            refresh_lifetime: between("REFRESH_TOKEN_EXPIRES_IN", 60 * day, long)?,
            issuer: public.to_string(),
            audience: environment
                .optional("ACCESS_TOKEN_AUDIENCE")?
                .unwrap_or_else(|| public.to_string()),
            keys: environment
                .optional_parsed("SESSION_SIGNING_KEYS")?
                .ok_or_else(|| {
                    ConfigError::new(
                        "SESSION_SIGNING_KEYS",
                        "is missing: set it to what `auth-svc keys generate` prints",
                    )
                })?,
            token_pair_cookie: environment.flag("TOKEN_PAIR_COOKIE_ENABLED", false)?,
        })
    }
}
