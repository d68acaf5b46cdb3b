//! A process of the model: an engine in a separate runtime, so that it can be killed
//! wherever it waits.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use latchkey_config::Environment;
use latchkey_domain::{AccountId, ScopeSet, SystemClock};
use latchkey_opening::OpeningKeys;
use latchkey_providers::Registry;
use proptest::prelude::*;
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::super::{Engine, EngineError, Need, Parts, Revoked, Timing};
use super::provider::Scripted;
use crate::cache::Cache;
use crate::change_notifications::ChangeNotifier;
use crate::snapshot::Snapshot;
use crate::store::{Connections, Faults, Store};
use crate::upstream::{Limits, Upstreams};
use latchkey_service::jitter::Jitter;

pub(super) use crate::store::Fault;

/// A fault of the next statement.
pub(super) fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::LostBefore),
        Just(Fault::LostAfter),
        Just(Fault::Hangs)
    ]
}

pub(super) type Answer = Result<Arc<Snapshot>, EngineError>;

/// A process of the model.
pub(super) struct Replica {
    /// Its client id at the provider.
    pub(super) name: String,
    pub(super) engine: Engine,
    pub(super) faults: Arc<Faults>,
    pub(super) stopping: bool,
    runtime: Option<Runtime>,
}

impl Replica {
    pub(super) fn start(database: &str, provider: &Scripted, keys: &OpeningKeys) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let name = format!("process-{}", Uuid::now_v7());
        let environment: Environment = [
            ("AUTH_OIDC_MODEL_ISSUER", provider.issuer()),
            ("AUTH_OIDC_MODEL_CLIENT_ID", name.clone()),
            ("AUTH_OIDC_MODEL_CLIENT_SECRET", "secret".to_owned()),
        ]
        .into_iter()
        .collect();
        let pool = PgPoolOptions::new()
            .max_connections(3)
            .test_before_acquire(false)
            .connect_lazy(database)
            .unwrap();
        let connections = Connections::new(&pool);
        let faults = connections.faults();
        let many = NonZeroU32::new(1_000_000).unwrap();
        let seconds = Duration::from_secs;
        let engine = Engine::new(Parts {
            store: Store::on(connections),
            keys: keys.clone(),
            providers: Registry::from_environment(&environment, Arc::new(SystemClock)).unwrap(),
            upstreams: Upstreams::new(Limits {
                concurrency: 100,
                rate: many,
                ahead: many,
            }),
            cache: Arc::new(Cache::new(16, Duration::ZERO)),
            notifier: ChangeNotifier::default(),
            clock: Arc::new(SystemClock),
            jitter: Jitter::seeded(1),
            // Longer than anything takes in the model: time-outs are caused by steps.
            timing: Timing::new(
                seconds(90),
                seconds(60),
                seconds(20),
                Duration::from_millis(5),
            )
            .unwrap(),
            ahead_window: Duration::ZERO,
            most_watchers: 1,
        });
        drop(entered);
        Self {
            name,
            engine,
            faults,
            stopping: false,
            runtime: Some(runtime),
        }
    }

    pub(super) fn ask(&self, account: AccountId) -> JoinHandle<Answer> {
        let engine = self.engine.clone();
        let need = Need {
            min_remaining: Duration::from_mins(1),
            scopes: ScopeSet::default(),
            refused_version: None,
            claims: None,
        };
        self.spawn(async move { engine.token(account, &need).await })
    }

    pub(super) fn revoke(&self, account: AccountId) -> JoinHandle<Result<Revoked, EngineError>> {
        let engine = self.engine.clone();
        self.spawn(async move { engine.revoke(account, || ()).await })
    }

    fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.as_ref().unwrap().spawn(future)
    }

    /// Stops the process abruptly.
    pub(super) fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
