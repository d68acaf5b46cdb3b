//! The keys with which this deployment authenticates at its providers.

use std::collections::BTreeMap;

use latchkey_config::{ConfigError, ConfigErrors};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Registry, variable};

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

    /// All keys are published in one set, in which a provider finds a key by its id. Keys that a file
    /// has later are not compared.
    pub(super) fn refuse_shared_key_ids(&self) -> Result<(), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let mut published: BTreeMap<String, Value> = BTreeMap::new();
        for provider in self.iter() {
            for key in provider.client_keys() {
                let other = published.insert(key.id, key.jwk.clone());
                if other.is_some_and(|other| other != key.jwk) {
                    let name = variable(provider.definition(), "PRIVATE_KEY_ID");
                    let problem = "is the id of another provider's key or algorithm too: each needs \
                                   its own, because all keys are published in one set";
                    errors.add(ConfigError::new(name, problem));
                }
            }
        }
        errors.or(())
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
