//! The providers that are switched on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::{Clock, ProviderName};
use tokio::task::JoinSet;

use crate::definition::Definition;
use crate::transport::Http;
use crate::{Provider, ProviderError, Purpose, google, microsoft, oidc};

/// The providers that are switched on, by name.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    providers: BTreeMap<ProviderName, Arc<Provider>>,
}

/// A name that is known to be valid.
pub(crate) fn fixed_name(name: &str) -> Result<ProviderName, ConfigError> {
    name.parse()
        .map_err(|_| ConfigError::new(name, "is no name of a provider"))
}

/// Name of a variable of a definition.
fn variable(definition: &Definition, suffix: &str) -> String {
    let upper = definition.name.as_str().to_uppercase();
    match definition.kind {
        crate::ProviderKind::Oidc => format!("AUTH_OIDC_{upper}_{suffix}"),
        _ => format!("AUTH_{upper}_{suffix}"),
    }
}

/// Variable of a callback URL.
fn callback_variable(definition: &Definition, purpose: Purpose) -> String {
    match purpose {
        Purpose::SignIn => variable(definition, "CALLBACK_URL"),
        Purpose::Connect => variable(definition, "APIS_CALLBACK_URL"),
    }
}

/// A callback tells by its path which provider answered, so no two may share
/// one (mix-up, RFC 9700 section 4.4).
fn refuse_shared_callbacks(definitions: &[Definition]) -> Result<(), ConfigError> {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for definition in definitions {
        for (purpose, url) in [
            (Purpose::SignIn, &definition.sign_in_callback),
            (Purpose::Connect, &definition.connect_callback),
        ] {
            let Some(url) = url else { continue };
            let variable = callback_variable(definition, purpose);
            if let Some(other) = seen.insert(url.as_str(), variable.clone()) {
                return Err(ConfigError::new(
                    variable,
                    format!("is the same URL as {other}: each needs its own"),
                ));
            }
        }
    }
    Ok(())
}

impl Registry {
    /// Reads the definitions (R3, R40). Speaks to nobody.
    ///
    /// # Errors
    /// A definition is incomplete, wrong or contradicts another.
    pub fn from_environment(
        environment: &Environment,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let mut definitions = oidc::definitions(environment)?;
        definitions.extend(google::definition(environment)?);
        definitions.extend(microsoft::definition(environment)?);
        refuse_shared_callbacks(&definitions)?;
        let http = Http::build().map_err(|problem| ConfigError::new("SSL_CERT_FILE", problem))?;
        let providers = definitions
            .into_iter()
            .map(move |definition| {
                let name = definition.name.clone();
                let provider = Provider::new(definition, http.clone(), Arc::clone(&clock));
                (name, Arc::new(provider))
            })
            .collect();
        Ok(Self { providers })
    }

    /// Stops a start without callback URLs: for the process that sends browsers
    /// to the providers.
    ///
    /// # Errors
    /// A provider has none, because neither its own variable nor `PUBLIC_URL`
    /// is set.
    pub fn require_callbacks(&self) -> Result<(), ConfigError> {
        for provider in self.iter() {
            for purpose in [Purpose::SignIn, Purpose::Connect] {
                if provider.redirect_uri(purpose).is_none() {
                    return Err(ConfigError::new(
                        callback_variable(provider.definition(), purpose),
                        "is missing: set it, or PUBLIC_URL, to what browsers reach",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Stops a start in which a provider may vouch for every address although
    /// several organisations have a workspace here: one of them could give its
    /// own people addresses of another. Google and Microsoft have rules of their
    /// own for that.
    ///
    /// # Errors
    /// A provider has no `…_EMAIL_DOMAINS`.
    pub fn require_email_domains(&self) -> Result<(), ConfigError> {
        for provider in self.iter() {
            let definition = provider.definition();
            if definition.kind == crate::ProviderKind::Oidc && definition.email.domains.is_empty() {
                return Err(ConfigError::new(
                    variable(definition, "EMAIL_DOMAINS"),
                    "is missing: with IS_MULTIWORKSPACE_ENABLED set it to the domains whose \
                     addresses this provider may vouch for, such as acme.example",
                ));
            }
        }
        Ok(())
    }

    /// Stops a start with a provider that requires what is not supported: nobody could
    /// sign in there, and no grant could be refreshed. A provider that does not answer
    /// within `limit` stops nothing.
    ///
    /// # Errors
    /// Names the provider, and what it requires.
    pub async fn refuse_unsupported(&self, limit: Duration) -> Result<(), ConfigError> {
        let mut checks = JoinSet::new();
        for provider in self.iter().cloned() {
            checks.spawn(async move {
                let checked = tokio::time::timeout(limit, provider.check()).await;
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
                    tracing::warn!(provider = %provider.name(), %error, "not known at the start");
                }
                Ok((provider, Err(_))) => {
                    tracing::warn!(provider = %provider.name(), "it did not answer at the start");
                }
                Ok((_, Ok(Ok(())))) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The provider of this name, if it is switched on.
    pub fn get(&self, name: &ProviderName) -> Option<Arc<Provider>> {
        self.providers.get(name).cloned()
    }

    /// The providers, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }
}

#[cfg(test)]
mod tests;
