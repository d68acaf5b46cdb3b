//! The providers that are switched on.

mod client_keys;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use latchkey_config::{ConfigError, ConfigErrors, Environment};
use latchkey_domain::{Clock, ProviderName};
use tokio::task::JoinSet;

use crate::catalogue::BUILT_IN;
use crate::definition::Definition;
use crate::sign_out::SignOut;
use crate::transport::Http;
use crate::{Provider, ProviderError, Purpose, oidc};

/// The providers that are switched on, by name.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    providers: BTreeMap<ProviderName, Arc<Provider>>,
}

/// Full name of a variable of a provider.
fn variable(definition: &Definition, suffix: &str) -> String {
    let upper = definition.name.as_str().to_uppercase();
    if definition.built_in {
        format!("AUTH_{upper}_{suffix}")
    } else {
        format!("AUTH_OIDC_{upper}_{suffix}")
    }
}

/// Name of the variable with a callback URL.
fn callback_variable(definition: &Definition, purpose: Purpose) -> String {
    match purpose {
        Purpose::SignIn => variable(definition, "CALLBACK_URL"),
        Purpose::Connect => variable(definition, "APIS_CALLBACK_URL"),
    }
}

/// The path of a callback shows which provider responded, so each provider needs its own
/// (mix-up attack, RFC 9700 section 4.4).
fn refuse_shared_callbacks(definitions: &[Definition]) -> Result<(), ConfigErrors> {
    let mut errors = ConfigErrors::default();
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for definition in definitions {
        for (purpose, url) in [
            (Purpose::SignIn, &definition.sign_in_callback),
            (Purpose::Connect, &definition.connect_callback),
        ] {
            let Some(url) = url else { continue };
            let variable = callback_variable(definition, purpose);
            if let Some(other) = seen.insert(url.as_str(), variable.clone()) {
                let problem = format!("is the same URL as {other}: each needs its own");
                errors.add(ConfigError::new(variable, problem));
            }
        }
    }
    errors.or(())
}

impl Registry {
    /// Reads the definitions (R3, R40). Makes no request.
    ///
    /// # Errors
    /// Definitions are incomplete, wrong or contradict each other.
    pub fn from_environment(
        environment: &Environment,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let mut definitions = errors
            .take(oidc::definitions(environment))
            .unwrap_or_default();
        for built_in in BUILT_IN {
            definitions.extend(errors.take(built_in.definition(environment)).flatten());
        }
        errors.take(refuse_shared_callbacks(&definitions));
        let definitions = errors.or(definitions)?;
        let http = Http::build().map_err(|problem| ConfigError::new("SSL_CERT_FILE", problem))?;
        let providers = definitions
            .into_iter()
            .map(move |definition| {
                let name = definition.name.clone();
                let provider = Provider::new(definition, http.clone(), Arc::clone(&clock));
                (name, Arc::new(provider))
            })
            .collect();
        let registry = Self { providers };
        registry.refuse_shared_key_ids()?;
        Ok(registry)
    }

    /// Name of the variable with a callback URL of a provider.
    pub fn callback_variable(provider: &Provider, purpose: Purpose) -> String {
        callback_variable(provider.definition(), purpose)
    }

    /// Checks that every provider has its callback URLs, which a process needs that sends
    /// browsers to the providers.
    ///
    /// # Errors
    /// Neither the variable of a callback URL nor `PUBLIC_URL` is set.
    pub fn require_callbacks(&self) -> Result<(), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        for provider in self.iter() {
            for purpose in [Purpose::SignIn, Purpose::Connect] {
                if provider.redirect_uri(purpose).is_none() {
                    errors.add(ConfigError::new(
                        callback_variable(provider.definition(), purpose),
                        "is missing: set it, or PUBLIC_URL, to what browsers reach",
                    ));
                }
            }
        }
        errors.or(())
    }

    /// Checks that no provider may vouch for every address. This is necessary if several
    /// organisations have workspaces: the provider of one could give its people addresses
    /// of another. Built-in providers have rules of their own for that.
    ///
    /// # Errors
    /// The variable `…_EMAIL_DOMAINS` of a provider is not set.
    pub fn require_email_domains(&self) -> Result<(), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        for provider in self.iter() {
            let definition = provider.definition();
            if !definition.built_in && definition.email.domains.is_empty() {
                errors.add(ConfigError::new(
                    variable(definition, "EMAIL_DOMAINS"),
                    "is missing: with IS_MULTIWORKSPACE_ENABLED set it to the domains whose \
                     addresses this provider may vouch for, such as acme.example",
                ));
            }
        }
        errors.or(())
    }

    /// Checks that no provider requires something that is not supported: nobody could
    /// sign in there, and no grant could be refreshed. A provider that does not respond
    /// within `limit` is not an error.
    ///
    /// # Errors
    /// Names the variable of the provider and what the provider requires.
    pub async fn refuse_unsupported(&self, limit: Duration) -> Result<(), ConfigError> {
        self.refuse(limit, false).await
    }

    /// The same, with what only sign-ins need.
    ///
    /// # Errors
    /// See [`refuse_unsupported`](Self::refuse_unsupported).
    pub async fn refuse_unsupported_sign_ins(&self, limit: Duration) -> Result<(), ConfigError> {
        self.refuse(limit, true).await
    }

    async fn refuse(&self, limit: Duration, sign_ins: bool) -> Result<(), ConfigError> {
        let mut checks = JoinSet::new();
        for provider in self.iter().cloned() {
            checks.spawn(async move {
                let checked = tokio::time::timeout(limit, provider.check(sign_ins)).await;
                (provider, checked)
            });
        }
        while let Some(checked) = checks.join_next().await {
            match checked {
                Ok((provider, Ok(Err(error @ ProviderError::Unsupported(_))))) => {
                    let variable = variable(provider.definition(), "ISSUER");
                    return Err(ConfigError::new(
                        variable,
                        format!("names a provider: {error}"),
                    ));
                }
                Ok((provider, Ok(Err(error)))) => {
                    tracing::warn!(provider = %provider.name(), %error, "the discovery document was not available at the start");
                }
                Ok((provider, Err(_))) => {
                    tracing::warn!(provider = %provider.name(), "the provider did not respond at the start");
                }
                Ok((_, Ok(Ok(())))) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Logs each provider that is to end sessions (`AUTH_<P>_SIGN_OUT=provider`) and announces no
    /// endpoint for that. A provider whose discovery document is not known is left out.
    pub fn warn_without_end_session(&self) {
        for provider in self.iter().filter(|one| one.lacks_end_session_endpoint()) {
            let variable = variable(provider.definition(), SignOut::VARIABLE);
            tracing::warn!(
                provider = %provider.name(),
                "{variable} is provider, but {} announces no end_session_endpoint: a sign-out here \
                 leaves the session there as it is. Set {variable}=local",
                provider.definition().issuer.shown()
            );
        }
    }

    /// The provider with this name, if it is switched on.
    pub fn get(&self, name: &ProviderName) -> Option<Arc<Provider>> {
        self.providers.get(name).cloned()
    }

    /// The providers, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }
}

#[cfg(test)]
mod tests;
