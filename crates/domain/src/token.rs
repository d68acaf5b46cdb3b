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

macro_rules! sealed_token {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(Vec<u8>);

        impl $name {
            /// Takes the bytes of an envelope.
            pub const fn new(envelope: Vec<u8>) -> Self {
                Self(envelope)
            }

            /// Returns the bytes of the envelope.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// Returns the bytes of the envelope, to store or to send them.
            pub fn into_bytes(self) -> Vec<u8> {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes)"), self.0.len())
            }
        }
    };
}

sealed_token!(
    /// An access token in an envelope that only refresh-svc can open.
    SealedAccessToken
);
sealed_token!(
    /// A refresh token in an envelope that only refresh-svc can open.
    SealedRefreshToken
);
