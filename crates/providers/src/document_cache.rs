//! A document of a provider, kept for a while: one fetch at a time, the old one
//! where a new one cannot be had, within a bound.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::ProviderError;

/// How long a document serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    /// Not fetched again before this.
    fresh: Duration,
    /// Used up to this age where fetching fails.
    stale: Duration,
}

/// Of a discovery document: where things are.
pub(crate) const METADATA_LIFETIME: Lifetime = Lifetime {
    fresh: Duration::from_hours(1),
    stale: Duration::from_hours(24),
};
/// Of keys: a key that the provider withdraws, because somebody else has it, must not
/// prove people for long.
pub(crate) const KEY_SET_LIFETIME: Lifetime = Lifetime {
    fresh: Duration::from_mins(5),
    stale: Duration::from_hours(1),
};
/// While an old one serves, the provider is asked again no sooner.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// An unknown key asks for the key set out of turn no sooner than this after the last
/// time; a request that comes earlier waits until then.
const FORCED_FETCH_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct State<T> {
    value: Option<(Arc<T>, OffsetDateTime)>,
    /// How often it was fetched, well or not.
    attempts: u64,
    failed: Option<(ProviderError, OffsetDateTime)>,
    forced_at: Option<Instant>,
}

/// A document kept for a while.
#[derive(Debug)]
pub(crate) struct CachedDocument<T> {
    lifetime: Lifetime,
    state: Mutex<State<T>>,
    fetching: tokio::sync::Mutex<()>,
}

impl<T> CachedDocument<T> {
    /// Nothing yet.
    pub(crate) fn new(lifetime: Lifetime) -> Self {
        Self {
            lifetime,
            state: Mutex::new(State {
                value: None,
                attempts: 0,
                failed: None,
                forced_at: None,
            }),
            fetching: tokio::sync::Mutex::default(),
        }
    }
}

impl<T> CachedDocument<T> {
    fn with<R>(&self, read: impl FnOnce(&mut State<T>) -> R) -> R {
        read(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The document, fetched where it is not fresh.
    pub(crate) async fn get<F>(
        &self,
        now: OffsetDateTime,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        let usable = |state: &mut State<T>| {
            let (value, at) = state.value.as_ref()?;
            let age = now - *at;
            let paused = state
                .failed
                .as_ref()
                .is_some_and(|(_, failed)| now - *failed < RETRY_PAUSE);
            (age < self.lifetime.fresh || (paused && age < self.lifetime.stale))
                .then(|| Arc::clone(value))
        };
        if let Some(value) = self.with(usable) {
            return Ok(value);
        }
        let attempts = self.with(|state| state.attempts);
        let _fetching = self.fetching.lock().await;
        if let Some(value) = self.with(usable) {
            return Ok(value);
        }
        // Whoever waited for a fetching that failed has its answer.
        let shared = self.with(|state| {
            (state.attempts != attempts)
                .then(|| state.failed.clone())
                .flatten()
        });
        if let Some((error, _)) = shared {
            return Err(error);
        }
        self.fetch(now, fetch).await
    }

    /// The document anew, because what is kept lacks something. Waits for its turn
    /// ([`FORCED_FETCH_PAUSE`]); who waited while another fetched has that one's.
    pub(crate) async fn force<F>(
        &self,
        now: OffsetDateTime,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        let attempts = self.with(|state| state.attempts);
        let _fetching = self.fetching.lock().await;
        let shared = self.with(|state| {
            let (value, _) = state.value.as_ref()?;
            (state.attempts != attempts).then(|| Arc::clone(value))
        });
        if let Some(value) = shared {
            return Ok(value);
        }
        if let Some(last) = self.with(|state| state.forced_at) {
            tokio::time::sleep_until(last + FORCED_FETCH_PAUSE).await;
        }
        self.with(|state| state.forced_at = Some(Instant::now()));
        self.fetch(now, fetch).await
    }

    async fn fetch<F>(
        &self,
        now: OffsetDateTime,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        let fetched = fetch().await;
        self.with(|state| {
            state.attempts += 1;
            match fetched {
                Ok(value) => {
                    let value = Arc::new(value);
                    state.value = Some((Arc::clone(&value), now));
                    state.failed = None;
                    Ok(value)
                }
                Err(error) => {
                    state.failed = Some((error.clone(), now));
                    match &state.value {
                        Some((value, at)) if now - *at < self.lifetime.stale => {
                            tracing::warn!(%error, "an old document of the provider serves on");
                            Ok(Arc::clone(value))
                        }
                        _ => Err(error),
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn down() -> ProviderError {
        ProviderError::KeysUnavailable("down".into())
    }

    #[tokio::test]
    async fn a_document_is_fetched_once_while_it_is_fresh() {
        let cached = CachedDocument::new(METADATA_LIFETIME);
        for _ in 0..3 {
            assert_eq!(*cached.get(START, async || Ok(1)).await.unwrap(), 1);
        }
        let later = START + METADATA_LIFETIME.fresh;
        assert_eq!(*cached.get(later, async || Ok(2)).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn an_old_document_serves_on_while_the_provider_is_down_but_not_for_ever() {
        let cached = CachedDocument::new(METADATA_LIFETIME);
        cached.get(START, async || Ok(1)).await.unwrap();
        let later = START + METADATA_LIFETIME.fresh;
        let asked = AtomicU32::new(0);
        for _ in 0..5 {
            let fetch = async || {
                asked.fetch_add(1, Ordering::SeqCst);
                Err(down())
            };
            assert_eq!(*cached.get(later, fetch).await.unwrap(), 1);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let much_later = START + METADATA_LIFETIME.stale;
        assert!(cached.get(much_later, async || Err(down())).await.is_err());
    }

    // A key that was withdrawn proves nobody for long, whether or not the set answers.
    #[tokio::test]
    async fn keys_are_looked_at_again_every_few_minutes() {
        let keys = CachedDocument::new(KEY_SET_LIFETIME);
        keys.get(START, async || Ok(1)).await.unwrap();
        let later = START + Duration::from_mins(5);
        assert_eq!(*keys.get(later, async || Ok(2)).await.unwrap(), 2);
        let hours_later = later + Duration::from_hours(1);
        assert!(keys.get(hours_later, async || Err(down())).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_forced_fetch_waits_for_its_turn_and_is_shared() {
        let cached = CachedDocument::new(METADATA_LIFETIME);
        cached.get(START, async || Ok(1)).await.unwrap();
        let begun = Instant::now();
        assert_eq!(*cached.force(START, async || Ok(2)).await.unwrap(), 2);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // A key that is replaced again a moment later is found as well.
        let (first, second) = tokio::join!(
            cached.force(START, async || Ok(3)),
            cached.force(START, async || Ok(4)),
        );
        assert_eq!((*first.unwrap(), *second.unwrap()), (3, 3));
        assert_eq!(begun.elapsed(), FORCED_FETCH_PAUSE);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_fetch_that_fails_does_not_fetch_again() {
        let cached: CachedDocument<u32> = CachedDocument::new(METADATA_LIFETIME);
        let asked = AtomicU32::new(0);
        let fetch = async || {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Err(down())
        };
        let (first, second) = tokio::join!(cached.get(START, fetch), cached.get(START, fetch));
        assert!(first.is_err() && second.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
