//! A recorder for `/metrics` whose values are exported over OTLP too.
//!
//! A counter and a gauge have one more atomic number, which is read when an export begins, so that
//! every series is exported from its creation on. A histogram is aggregated a second time, by the
//! SDK, which exports it from its first value on.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::atomics::AtomicU64;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Level, Metadata,
    Recorder, SharedString, Unit,
};
use metrics_exporter_prometheus::PrometheusRecorder;
use metrics_util::registry::{Registry, Storage};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::buckets;

/// The recorder for `/metrics` does not read it.
static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// Counts for `/metrics` and for a meter of OpenTelemetry.
pub(super) struct ExportingRecorder {
    registry: Registry<Key, Instruments>,
}

impl ExportingRecorder {
    pub(super) fn new(prometheus: PrometheusRecorder, meter: Meter) -> Self {
        Self {
            registry: Registry::new(Instruments {
                prometheus,
                meter,
                descriptions: Mutex::default(),
                counters: Families::default(),
                gauges: Families::default(),
                histograms: Mutex::default(),
            }),
        }
    }
}

impl Recorder for ExportingRecorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        let instruments = self.registry.storage();
        instruments.describe(&name, &description);
        instruments
            .prometheus
            .describe_counter(name, unit, description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        let instruments = self.registry.storage();
        instruments.describe(&name, &description);
        instruments
            .prometheus
            .describe_gauge(name, unit, description);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        let instruments = self.registry.storage();
        instruments.describe(&name, &description);
        instruments
            .prometheus
            .describe_histogram(name, unit, description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let handle = |one: &Arc<_>| Counter::from_arc(Arc::clone(one));
        self.registry.get_or_create_counter(key, handle)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let handle = |one: &Arc<_>| Gauge::from_arc(Arc::clone(one));
        self.registry.get_or_create_gauge(key, handle)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let handle = |one: &Arc<_>| Histogram::from_arc(Arc::clone(one));
        self.registry.get_or_create_histogram(key, handle)
    }
}

/// Creates each series in both places.
struct Instruments {
    prometheus: PrometheusRecorder,
    meter: Meter,
    /// The descriptions by the names of the families. An instrument has the one that its family
    /// had before its first series.
    descriptions: Mutex<HashMap<String, String>>,
    counters: Families<ExportedCounter>,
    gauges: Families<ExportedGauge>,
    histograms: Mutex<HashMap<String, opentelemetry::metrics::Histogram<f64>>>,
}

impl Instruments {
    fn describe(&self, name: &KeyName, description: &SharedString) {
        let description: &str = description;
        lock(&self.descriptions).insert(name.as_str().to_owned(), description.to_owned());
    }

    fn description(&self, name: &str) -> String {
        lock(&self.descriptions)
            .get(name)
            .cloned()
            .unwrap_or_default()
    }

    fn otlp_histogram(&self, name: &str) -> opentelemetry::metrics::Histogram<f64> {
        let mut histograms = lock(&self.histograms);
        if let Some(histogram) = histograms.get(name) {
            return histogram.clone();
        }
        let histogram = self
            .meter
            .f64_histogram(name.to_owned())
            .with_description(self.description(name))
            .with_unit(unit_of(name))
            .with_boundaries(buckets::of(name).to_vec())
            .build();
        histograms.insert(name.to_owned(), histogram.clone());
        histogram
    }
}

impl Storage<Key> for Instruments {
    type Counter = Arc<ExportedCounter>;
    type Gauge = Arc<ExportedGauge>;
    type Histogram = Arc<ExportedHistogram>;

    fn counter(&self, key: &Key) -> Self::Counter {
        let series = Arc::new(ExportedCounter {
            prometheus: self.prometheus.register_counter(key, &METADATA),
            value: AtomicU64::new(0),
        });
        self.counters.add(key, &series, |name, family| {
            let _ = self
                .meter
                .u64_observable_counter(name.to_owned())
                .with_description(self.description(name))
                .with_unit(unit_of(name))
                .with_callback(move |observer| {
                    for (attributes, one) in lock(&family).iter() {
                        observer.observe(one.value.load(Ordering::Acquire), attributes);
                    }
                })
                .build();
        });
        series
    }

    fn gauge(&self, key: &Key) -> Self::Gauge {
        let series = Arc::new(ExportedGauge {
            prometheus: self.prometheus.register_gauge(key, &METADATA),
            bits: AtomicU64::new(0.0_f64.to_bits()),
        });
        self.gauges.add(key, &series, |name, family| {
            let _ = self
                .meter
                .f64_observable_gauge(name.to_owned())
                .with_description(self.description(name))
                .with_unit(unit_of(name))
                .with_callback(move |observer| {
                    for (attributes, one) in lock(&family).iter() {
                        let value = f64::from_bits(one.bits.load(Ordering::Acquire));
                        observer.observe(value, attributes);
                    }
                })
                .build();
        });
        series
    }

    fn histogram(&self, key: &Key) -> Self::Histogram {
        Arc::new(ExportedHistogram {
            prometheus: self.prometheus.register_histogram(key, &METADATA),
            otlp: self.otlp_histogram(key.name()),
            attributes: attributes(key),
        })
    }
}

/// The series of a family with their attributes.
type Family<T> = Arc<Mutex<Vec<(Vec<KeyValue>, Arc<T>)>>>;

/// Families by their names.
struct Families<T>(Mutex<HashMap<String, Family<T>>>);

impl<T> Default for Families<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Families<T> {
    /// Adds a series. `create` creates the instrument of a new family.
    fn add(&self, key: &Key, series: &Arc<T>, create: impl FnOnce(&str, Family<T>)) {
        let mut families = lock(&self.0);
        let family = families.entry(key.name().to_owned()).or_insert_with(|| {
            let family = Family::default();
            create(key.name(), Arc::clone(&family));
            family
        });
        lock(family).push((attributes(key), Arc::clone(series)));
    }
}

struct ExportedCounter {
    prometheus: Counter,
    value: AtomicU64,
}

impl CounterFn for ExportedCounter {
    fn increment(&self, value: u64) {
        self.prometheus.increment(value);
        CounterFn::increment(&self.value, value);
    }

    fn absolute(&self, value: u64) {
        self.prometheus.absolute(value);
        CounterFn::absolute(&self.value, value);
    }
}

struct ExportedGauge {
    prometheus: Gauge,
    /// The bits of an `f64`.
    bits: AtomicU64,
}

impl GaugeFn for ExportedGauge {
    fn increment(&self, value: f64) {
        self.prometheus.increment(value);
        GaugeFn::increment(&self.bits, value);
    }

    fn decrement(&self, value: f64) {
        self.prometheus.decrement(value);
        GaugeFn::decrement(&self.bits, value);
    }

    fn set(&self, value: f64) {
        self.prometheus.set(value);
        GaugeFn::set(&self.bits, value);
    }
}

struct ExportedHistogram {
    prometheus: Histogram,
    otlp: opentelemetry::metrics::Histogram<f64>,
    attributes: Vec<KeyValue>,
}

impl HistogramFn for ExportedHistogram {
    fn record(&self, value: f64) {
        self.prometheus.record(value);
        self.otlp.record(value, &self.attributes);
    }
}

fn attributes(key: &Key) -> Vec<KeyValue> {
    key.labels()
        .map(|label| KeyValue::new(label.key().to_owned(), label.value().to_owned()))
        .collect()
}

/// The unit of a family in the notation of OpenTelemetry (UCUM), by the unit in its name. What is
/// counted has none: a unit `1` would become a part of the name at receivers that translate to
/// Prometheus.
fn unit_of(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    if name.ends_with("_seconds") {
        "s"
    } else if name.ends_with("_bytes") {
        "By"
    } else {
        ""
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
