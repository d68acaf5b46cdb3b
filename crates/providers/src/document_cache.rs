//! A cache of one document of a provider. Only one fetch runs at a time. If a fetch fails,
//! the old document is used until its stale lifetime ends.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::ProviderError;

/// How long a document may be used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    /// The document is not fetched again before this age.
    fresh: Duration,
    /// The document may be used up to this age if fetching fails.
    stale: Duration,
}

/// Lifetime of a discovery document.
pub(crate) const METADATA_LIFETIME: Lifetime = Lifetime {
    fresh: Duration::from_hours(1),
    stale: Duration::from_hours(24),
};
/// Lifetime of a key set. It is short, because a provider withdraws a key that was stolen,
/// and the key must not be accepted for long after that.
pub(crate) const KEY_SET_LIFETIME: Lifetime = Lifetime {
    fresh: Duration::from_mins(5),
    stale: Duration::from_hours(1),
};
/// Wait after a failed fetch, during which the old document is used.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// Shortest time between two forced fetches. A request that needs one earlier waits.
const FORCED_FETCH_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct State<T> {
    value: Option<(Arc<T>, OffsetDateTime)>,
    /// Number of fetches, successful or not.
    attempts: u64,
    failed: Option<(ProviderError, OffsetDateTime)>,
    forced_at: Option<Instant>,
}

/// A cached document.
#[derive(Debug)]
pub(crate) struct CachedDocument<T> {
    lifetime: Lifetime,
    state: Mutex<State<T>>,
    fetching: tokio::sync::Mutex<()>,
}

impl<T> CachedDocument<T> {
    /// An empty cache.
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

    /// Returns the last document that was fetched, however old it is. Does not wait.
    pub(crate) fn last(&self) -> Option<Arc<T>> {
        self.with(|state| Some(Arc::clone(&state.value.as_ref()?.0)))
    }

    /// Returns the document, and fetches it first if it is not fresh.
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
        // A request that waited for a failed fetch fails with the same error.
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

    /// Fetches the document although it is fresh, because it lacks something. Waits for
    /// [`FORCED_FETCH_PAUSE`] after the last forced fetch. A request that waited while
    /// another one fetched gets the document of that fetch.
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
                            tracing::warn!(%error, "a document of the provider cannot be fetched, so the old one is used");
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
    async fn an_old_document_is_used_for_a_bounded_time_while_the_provider_is_down() {
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

    // A withdrawn key is soon refused, also if the key set is not available.
    #[tokio::test]
    async fn keys_are_fetched_again_every_few_minutes() {
        let keys = CachedDocument::new(KEY_SET_LIFETIME);
        keys.get(START, async || Ok(1)).await.unwrap();
        let later = START + Duration::from_mins(5);
        assert_eq!(*keys.get(later, async || Ok(2)).await.unwrap(), 2);
        let hours_later = later + Duration::from_hours(1);
        assert!(keys.get(hours_later, async || Err(down())).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_forced_fetch_waits_and_is_shared() {
        let cached = CachedDocument::new(METADATA_LIFETIME);
        cached.get(START, async || Ok(1)).await.unwrap();
        let begun = Instant::now();
        assert_eq!(*cached.force(START, async || Ok(2)).await.unwrap(), 2);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // A key that is replaced again soon afterwards is found as well.
        let (first, second) = tokio::join!(
            cached.force(START, async || Ok(3)),
            cached.force(START, async || Ok(4)),
        );
        assert_eq!((*first.unwrap(), *second.unwrap()), (3, 3));
        assert_eq!(begun.elapsed(), FORCED_FETCH_PAUSE);
    }

    #[tokio::test]
    async fn a_request_that_waits_for_a_failed_fetch_does_not_fetch_again() {
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
