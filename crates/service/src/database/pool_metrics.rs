//! Metrics of a pool of connections.

use metrics::{describe_gauge, describe_histogram, gauge, histogram};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::metrics::sample;

/// The target of sqlx's events about acquired connections.
const TARGET: &str = "sqlx::pool::acquire";

/// The level of these events. It is one that other events have in any case: with a lower one, every
/// library would be asked about its own events of that level.
pub(super) const EVENT_LEVEL: log::LevelFilter = log::LevelFilter::Info;

const ACQUIRE: &str = "latchkey_database_acquire_seconds";

/// Describes the metrics, before the first connection is acquired.
pub(super) fn describe() {
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
}

/// Measures how many connections of the pool are in use, until `stop`.
pub async fn measure_pool(pool: PgPool, stop: CancellationToken) {
    describe();
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

/// A layer that records the time to acquire a connection, which sqlx tells only in an event. The log
/// and the traces leave these events out by filters of their own.
pub(crate) fn acquire_times<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let events = Targets::new().with_target(TARGET, LevelFilter::INFO);
    AcquireTimes.with_filter(events)
}

struct AcquireTimes;

impl<S: Subscriber> Layer<S> for AcquireTimes {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut Seconds);
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
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn the_time_to_acquire_is_measured() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let subscriber = tracing_subscriber::registry().with(acquire_times());
        metrics::with_local_recorder(&recorder, || {
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(target: TARGET, acquired_after_secs = 0.2, "acquired connection");
                tracing::warn!(target: TARGET, acquired_after_secs = 3.0, "slow");
                tracing::error!(acquired_after_secs = 7.0, "another event");
            });
        });
        let text = handle.render();
        assert!(text.contains(&format!("{ACQUIRE}_count 2")), "{text}");
        assert!(text.contains(&format!("{ACQUIRE}_sum 3.2")), "{text}");
    }
}
