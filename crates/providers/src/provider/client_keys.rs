//! The keys with which the client authenticates at this provider.

use std::sync::Arc;

use super::Provider;
use crate::PublicClientKey;
use crate::client_auth::{ClientAuthentication, ClientKeys};

impl Provider {
    /// The public keys of the client, the one that signs first. Empty unless the client
    /// authenticates with `private_key_jwt` and a key of its own.
    pub fn client_keys(&self) -> Vec<PublicClientKey> {
        self.own_client_keys()
            .map(|keys| keys.published())
            .unwrap_or_default()
    }

    pub(crate) fn own_client_keys(&self) -> Option<Arc<ClientKeys>> {
        match &self.definition.client_authentication {
            Some(ClientAuthentication::PrivateKey(keys)) => Some(Arc::clone(keys)),
            _ => None,
        }
    }
}
