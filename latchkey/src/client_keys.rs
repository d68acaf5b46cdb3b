//! `latchkey client-keys`: the public keys to register at the providers.

use std::fmt::Write as _;
use std::sync::Arc;

use latchkey_config::{Environment, WebOrigin};
use latchkey_domain::SystemClock;
use latchkey_providers::{Provider, Registry};

use crate::answer::Answer;
use crate::failure::Failure;

const NONE: &str = "no provider has a key of the client: set AUTH_<P>_TOKEN_AUTH_METHOD to \
                    private_key_jwt and AUTH_<P>_PRIVATE_KEY_FILE to the path of a key";

/// Runs the command. The JSON is the JWK set alone, to be uploaded as it is.
pub(crate) fn run(environment: &Environment) -> Result<Answer, Failure> {
    let registry = Registry::from_environment(environment, Arc::new(SystemClock))?;
    let public: Option<WebOrigin> = environment.optional_parsed("PUBLIC_URL")?;
    let keys = registry.client_jwks();
    let entries: String = registry.iter().filter_map(|one| entry(one)).collect();
    if entries.is_empty() {
        return Ok(Answer::new(NONE, keys));
    }
    let mut text = entries;
    if let Some(public) = public {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "Address of the keys (jwks_uri):\n  {public}/.well-known/client-jwks.json"
        );
    }
    let _ = write!(
        text,
        "Where a provider takes no address, the keys themselves:\n{keys:#}"
    );
    Ok(Answer::new(text, keys))
}

/// Returns the lines of one provider. `None` if its client has no key.
fn entry(provider: &Provider) -> Option<String> {
    let keys = provider.client_keys();
    if keys.is_empty() {
        return None;
    }
    let mut text = format!("{} ({})\n", provider.label(), provider.name());
    for key in keys {
        let use_of = if key.signs { "signs" } else { "is published" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {} {} {use_of}", key.id, key.algorithm);
    }
    Some(text)
}
