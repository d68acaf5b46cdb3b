//! Tokens that cannot be printed and are wiped from memory.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

macro_rules! token {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(SecretString);

        impl $name {
            /// A token as the provider issued it.
            pub fn new(token: impl Into<String>) -> Self {
                Self(SecretString::from(token.into()))
            }

            /// The token in clear text, only to seal it or to send it.
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

token!(
    /// An access token (RFC 6749 section 1.4).
    AccessToken
);
token!(
    /// A refresh token (RFC 6749 section 1.5).
    RefreshToken
);
