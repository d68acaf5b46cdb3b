//! Secrets of a sign-in and of a session, as types that do not print.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::random::{Randomness, RandomnessError};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(SecretString);

        impl $name {
            /// Takes a text as the secret.
            pub fn new(text: impl Into<String>) -> Self {
                Self(SecretString::from(text.into()))
            }

            /// A new secret of 256 random bits, as 43 characters of base64url.
            ///
            /// # Errors
            /// The random number generator fails.
            pub fn generate(randomness: &Randomness) -> Result<Self, RandomnessError> {
                randomness.token().map(Self::new)
            }

            /// The secret in clear: only to send it, to seal it or to hash it.
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }
    };
}

/// Secrets of the sealed flow cookie: they are compared, and serialized into its plaintext.
macro_rules! flow_secret {
    ($(#[$doc:meta])* $name:ident) => {
        secret!($(#[$doc])* $name);

        /// In constant time.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                verify_slices_are_equal(self.expose().as_bytes(), other.expose().as_bytes())
                    .is_ok()
            }
        }

        impl Eq for $name {}

        /// In clear: for the sealed flow cookie.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.expose())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::new)
            }
        }
    };
}

flow_secret!(
    /// The `state` parameter of a flow (RFC 6749 section 4.1.1). The name differs
    /// from [`State`](crate::state::State), which handlers share.
    OAuthState
);
flow_secret!(
    /// The `nonce` that the ID token has to carry (OpenID Connect Core section 3.1.2.1).
    Nonce
);
flow_secret!(
    /// The PKCE code verifier (RFC 7636 section 4.1).
    PkceVerifier
);
flow_secret!(
    /// Binds the `state` of a sign-out at a provider to the browser: in a cookie, and in the sealed
    /// `state`.
    SignOutBinding
);
secret!(
    /// The value of a session cookie; the database has only its SHA-256.
    SessionSecret
);
secret!(
    /// A one-time code that hands a session over to a front end; the database has only
    /// its SHA-256.
    HandoverCode
);
