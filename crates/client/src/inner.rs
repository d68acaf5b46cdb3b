//! State of a client.

use std::sync::Arc;

use latchkey_domain::Clock;
use tokio::sync::Semaphore;

use crate::cache::{Context, TokenCache};
use crate::freshness::{Freshness, Jitter, Needs};
use crate::replicas::Replicas;
use crate::settings::Settings;
use crate::watch::Watches;
use crate::{Account, Token};

/// Limit of concurrent background refreshes, so that capacity remains for callers.
const MAX_REFRESHES_AHEAD: usize = 64;

/// State that all clones of a client share.
pub(crate) struct Inner {
    pub(crate) replicas: Replicas,
    pub(crate) cache: TokenCache,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) jitter: Jitter,
    pub(crate) watches: Watches,
    freshness: Freshness,
    pub(crate) settings: Settings,
    /// Permits of background refreshes.
    pub(crate) ahead: Semaphore,
}

impl Inner {
    pub(crate) fn new(
        replicas: Replicas,
        clock: Arc<dyn Clock>,
        jitter: Jitter,
        freshness: Freshness,
        settings: Settings,
    ) -> Self {
        Self {
            replicas,
            cache: TokenCache::new(settings.capacity),
            clock,
            jitter,
            watches: Watches::new(settings.watches),
            freshness,
            settings,
            ahead: Semaphore::new(MAX_REFRESHES_AHEAD),
        }
    }

    pub(crate) fn forget(&self, account: &Account) {
        self.cache.forget(account);
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            now: self.clock.now(),
            freshness: &self.freshness,
            jitter: self.jitter,
            cool_down: self.settings.cool_down,
            may_refresh_ahead: self.ahead.available_permits() > 0,
        }
    }

    pub(crate) fn still_valid(&self, account: &Account, needs: &Needs) -> Option<Token> {
        self.cache.still_valid(account, needs, &self.context())
    }
}
