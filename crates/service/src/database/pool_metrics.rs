//! Metrics of a pool of connections.

use metrics::{describe_gauge, describe_histogram, gauge, histogram};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::metrics::sample;

/// The target of sqlx's events about acquired connections. The filter of the log must let their
/// level ([`EVENT_LEVEL`]) pass, or there is nothing to measure.
const TARGET: &str = "sqlx::pool::acquire";

/// The level of these events. It is one that the log has in any case: with a lower one, every
/// library would be asked about its own events of that level.
pub(super) const EVENT_LEVEL: log::LevelFilter = log::LevelFilter::Info;

/// The directive that lets the events pass an `EnvFilter`.
pub(crate) const DIRECTIVE: &str = "sqlx::pool::acquire=info";

const ACQUIRE: &str = "latchkey_database_acquire_seconds";

/// Measures how many connections of the pool are in use, until `stop`.
pub async fn measure_pool(pool: PgPool, stop: CancellationToken) {
    describe_gauge!(
        "latchkey_database_connections",
        "Connections of the pool that are open, by state: idle or in_use."
    );
    describe_gauge!(
        "latchkey_database_connections_max",
        "Maximum number of connections of the pool (DATABASE_MAX_CONNECTIONS)."
    );
    describe_histogram!(
        "latchkey_database_acquire_seconds",
        "Time to acquire a connection of the pool, with the time to open it if none is idle."
    );
    drop(histogram!("latchkey_database_acquire_seconds"));
    gauge!("latchkey_database_connections_max").set(pool.options().get_max_connections());
    sample(stop, || {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        let in_use = pool.size().saturating_sub(idle);
        gauge!("latchkey_database_connections", "state" => "idle").set(idle);
        gauge!("latchkey_database_connections", "state" => "in_use").set(in_use);
    })
    .await;
}

/// Records the time to acquire a connection. sqlx tells it only in an event, which this layer
/// keeps out of the log and the traces. Its warning about a slow one stays in the log.
pub(crate) struct AcquireTimes;

impl<S: Subscriber> Layer<S> for AcquireTimes {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if event.metadata().target() != TARGET {
            return true;
        }
        event.record(&mut Seconds);
        *event.metadata().level() <= Level::WARN
    }
}

/// Records the field with the time.
struct Seconds;

impl Visit for Seconds {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "acquired_after_secs" {
            histogram!(ACQUIRE).record(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use metrics_exporter_prometheus::PrometheusBuilder;
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Counts the events that reach the log.
    struct Log(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Log {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_time_to_acquire_is_measured_and_not_logged() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let logged = Arc::new(AtomicUsize::new(0));
        // The same order as in `Settings::init`.
        let subscriber = tracing_subscriber::registry()
            .with(EnvFilter::new(format!("error,{DIRECTIVE}")))
            .with(AcquireTimes)
            .with(Log(logged.clone()));
        metrics::with_local_recorder(&recorder, || {
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(target: TARGET, acquired_after_secs = 0.2, "acquired connection");
                tracing::warn!(target: TARGET, acquired_after_secs = 3.0, "slow");
                tracing::error!("another event");
            });
        });
        let text = handle.render();
        assert!(text.contains(&format!("{ACQUIRE}_count 2")), "{text}");
        assert!(text.contains(&format!("{ACQUIRE}_sum 3.2")), "{text}");
        assert_eq!(logged.load(Ordering::Relaxed), 2);
    }
}
