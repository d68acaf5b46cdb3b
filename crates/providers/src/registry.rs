//! The providers that are switched on.

use std::collections::BTreeMap;
use std::sync::Arc;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::{Clock, ProviderName};

use crate::Provider;

/// The providers that are switched on, by name.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    providers: BTreeMap<ProviderName, Arc<Provider>>,
}

impl Registry {
    /// Reads the definitions (R3, R40). Speaks to nobody.
    ///
    /// # Errors
    /// A definition is incomplete, wrong or contradicts another.
    pub fn from_environment(
        _environment: &Environment,
        _clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        Ok(Self::default())
    }

    /// Stops a start without callback URLs: for the process that sends browsers
    /// to the providers.
    ///
    /// # Errors
    /// A provider has none, because neither its own variable nor `PUBLIC_URL`
    /// is set.
    pub fn require_callbacks(&self) -> Result<(), ConfigError> {
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
