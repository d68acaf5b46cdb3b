//! The keys with which this deployment authenticates at its providers.

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Registry;

impl Registry {
    /// The public keys of all clients as a JWK set (RFC 7517 section 5), which a provider
    /// fetches from this deployment (`jwks_uri` of the client).
    pub fn client_jwks(&self) -> Value {
        let mut keys: Vec<Value> = Vec::new();
        for key in self.iter().flat_map(|provider| provider.client_keys()) {
            // Several providers may know the same key.
            if !keys.contains(&key.jwk) {
                keys.push(key.jwk);
            }
        }
        json!({ "keys": keys })
    }

    /// Follows the files with the keys of the clients until `stop`. The next request
    /// after a change is signed with the new first key.
    pub async fn watch_client_keys(self, stop: CancellationToken) {
        let mut watches = JoinSet::new();
        for provider in self.iter() {
            if let Some(keys) = provider.own_client_keys() {
                watches.spawn(keys.watch(stop.clone()));
            }
        }
        stop.cancelled().await;
        watches.join_all().await;
    }
}
