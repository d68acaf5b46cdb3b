//! The realms. Each has one client, and is a provider of the same name at Latchkey.

use serde_json::{Value, json};

use crate::providers::registration::{self, CLIENT_ID, CLIENT_SECRET};

/// Name of the server, and of the provider whose grants are tested.
pub(crate) const NAME: &str = "keycloak";

/// Lifetime of the access tokens of [`Realm::Keys`] in seconds.
const SHORT_ACCESS_TOKENS: u32 = 6;

/// A realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Realm {
    /// Every sign-in requests offline access, and the person consents.
    Grants,
    /// Offline access is requested after the sign-in. A sign-out here is local.
    Company,
    /// Offline access is requested with the sign-in. A sign-out here goes on at Keycloak.
    Portal,
    /// The client authenticates with a key, and its access tokens are short-lived.
    Keys,
    /// The client requires pushed authorization requests, and a variable says so.
    Pushed,
    /// The client requires pushed authorization requests, and the discovery document will say so.
    Announced,
}

impl Realm {
    /// Every realm.
    pub(crate) const ALL: [Self; 6] = [
        Self::Grants,
        Self::Company,
        Self::Portal,
        Self::Keys,
        Self::Pushed,
        Self::Announced,
    ];

    /// Its name, which is also the name of the provider at Latchkey.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Grants => NAME,
            Self::Company => "company",
            Self::Portal => "portal",
            Self::Keys => "keys",
            Self::Pushed => "pushed",
            Self::Announced => "announced",
        }
    }

    /// Variables beside those of every provider. `key_file` has the client's keys.
    pub(super) fn variables(self, key_file: &str) -> Vec<(&'static str, String)> {
        let mut values = if self == Self::Grants {
            vec![("SCOPES", "openid email profile offline_access")]
        } else {
            // A scope that every realm has stands for the data scopes.
            vec![
                ("SCOPES", "openid email profile"),
                ("MESSAGING_SCOPES", "phone"),
            ]
        };
        if self == Self::Keys {
            values.extend([
                ("TOKEN_AUTH_METHOD", "private_key_jwt"),
                ("TOKEN_AUTH_AUDIENCE", "issuer"),
                ("PRIVATE_KEY_FILE", key_file),
            ]);
        } else {
            values.push(("CLIENT_SECRET", CLIENT_SECRET));
        }
        match self {
            Self::Company => values.push(("OFFLINE", "afterwards")),
            Self::Portal => values.push(("SIGN_OUT", "provider")),
            Self::Pushed => values.push(("PUSHED_AUTHORIZATION_REQUESTS", "always")),
            Self::Grants | Self::Keys | Self::Announced => {}
        }
        let owned = values
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()));
        owned.collect()
    }

    /// The realm in Keycloak's representation.
    pub(super) fn representation(self) -> Value {
        json!({
            "realm": self.name(),
            "enabled": true,
            "sslRequired": "none",
            "accessTokenLifespan": 300,
            "revokeRefreshToken": true,
            "refreshTokenMaxReuse": 0,
            "eventsEnabled": true,
            "enabledEventTypes": ["REFRESH_TOKEN", "REFRESH_TOKEN_ERROR"],
        })
    }

    /// The client in Keycloak's representation.
    pub(super) fn client(self, public_url: &str) -> Value {
        let name = self.name();
        let mut client = json!({
            "clientId": CLIENT_ID,
            "publicClient": false,
            "standardFlowEnabled": true,
            "frontchannelLogout": false,
            "consentRequired": self == Self::Grants,
            "redirectUris": registration::redirect_uris(public_url, name),
            "attributes": self.attributes(public_url),
        });
        let (authentication, value) = if self == Self::Keys {
            ("clientAuthenticatorType", "client-jwt")
        } else {
            ("secret", CLIENT_SECRET)
        };
        if let Some(client) = client.as_object_mut() {
            client.insert(authentication.to_owned(), json!(value));
        }
        client
    }

    fn attributes(self, public_url: &str) -> Value {
        let name = self.name();
        match self {
            Self::Grants => json!({}),
            Self::Company | Self::Portal => json!({
                "backchannel.logout.url": registration::backchannel_logout_url(public_url, name),
                "backchannel.logout.session.required": "true",
                "post.logout.redirect.uris": registration::signed_out_uri(public_url, name),
            }),
            Self::Keys => json!({
                "use.jwks.url": "true",
                "jwks.url": registration::client_keys_url(public_url),
                "access.token.lifespan": SHORT_ACCESS_TOKENS.to_string(),
            }),
            Self::Pushed | Self::Announced => json!({
                "require.pushed.authorization.requests": "true",
            }),
        }
    }
}
