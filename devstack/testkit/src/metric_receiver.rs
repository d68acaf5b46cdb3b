//! A receiver of metrics: OTLP over gRPC, with and without TLS.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use latchkey_servers::KeyPairFiles;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint};
use tonic::{Request, Response, Status};

use crate::otlp_server::{Attributes, OtlpServer, attributes, service_of};

/// A family of metrics that a service exported.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReceivedFamily {
    /// `counter`, `gauge` or `histogram`, as Prometheus names the types.
    pub kind: String,
    /// Its description.
    pub description: String,
    /// Its unit in the notation of OpenTelemetry, such as `s`.
    pub unit: String,
    /// Its series, each with its labels as in the text format of Prometheus, in their order, and
    /// its last value. A histogram has `_bucket`, `_sum` and `_count`.
    pub series: BTreeMap<String, f64>,
}

/// The families by the names of the service and of the family.
type Families = BTreeMap<(String, String), ReceivedFamily>;

/// A server that stores the last values that are exported to it. It stops when it is dropped.
#[derive(Debug)]
pub struct MetricReceiver {
    server: OtlpServer,
    families: Arc<Mutex<Families>>,
}

impl MetricReceiver {
    /// Starts a receiver without TLS.
    ///
    /// # Panics
    /// It does not start.
    pub fn start() -> Self {
        let families = Arc::default();
        let service = MetricsServiceServer::new(Receiver(Arc::clone(&families)));
        let server = OtlpServer::start(|server| server.add_service(service));
        Self { server, families }
    }

    /// Starts a receiver whose certificate names `localhost`.
    ///
    /// # Panics
    /// It does not start, or the files cannot be used.
    pub fn start_with_tls(server: &KeyPairFiles) -> Self {
        let families = Arc::default();
        let service = MetricsServiceServer::new(Receiver(Arc::clone(&families)));
        let server = OtlpServer::start_with_tls(server, |server| server.add_service(service));
        Self { server, families }
    }

    /// Returns the value of `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        self.server.endpoint()
    }

    /// Returns the families of a service (`service.name`) by their names, as they arrived last.
    pub fn families(&self, service: &str) -> BTreeMap<String, ReceivedFamily> {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let of_service = families.iter().filter(|((of, _), _)| of == service);
        of_service
            .map(|((_, name), family)| (name.clone(), family.clone()))
            .collect()
    }
}

struct Receiver(Arc<Mutex<Families>>);

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for exported in request.into_inner().resource_metrics {
            let service = service_of(exported.resource);
            let scopes = exported.scope_metrics.into_iter();
            for metric in scopes.flat_map(|scope| scope.metrics) {
                families.insert((service.clone(), metric.name.clone()), family(metric));
            }
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn family(metric: Metric) -> ReceivedFamily {
    let mut family = ReceivedFamily {
        description: metric.description,
        unit: metric.unit,
        ..ReceivedFamily::default()
    };
    let name = metric.name;
    let numbers = |points: Vec<NumberDataPoint>| {
        points.into_iter().map(|point| {
            let value = number(&point);
            (series(&name, &attributes(point.attributes), None), value)
        })
    };
    match metric.data {
        Some(Data::Sum(sum)) if sum.is_monotonic => {
            "counter".clone_into(&mut family.kind);
            family.series.extend(numbers(sum.data_points));
        }
        Some(Data::Gauge(gauge)) => {
            "gauge".clone_into(&mut family.kind);
            family.series.extend(numbers(gauge.data_points));
        }
        Some(Data::Histogram(histogram)) => {
            "histogram".clone_into(&mut family.kind);
            for point in histogram.data_points {
                family.series.extend(histogram_series(&name, point));
            }
        }
        other => family.kind = format!("{other:?}"),
    }
    family
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(Value::AsDouble(number)) => number,
        Some(Value::AsInt(number)) => as_f64(number.unsigned_abs()),
        None => f64::NAN,
    }
}

/// The series that the text format has for a histogram, whose buckets are sums.
fn histogram_series(name: &str, point: HistogramDataPoint) -> Vec<(String, f64)> {
    let labels = attributes(point.attributes);
    let bounds = point.explicit_bounds.iter().map(f64::to_string);
    let bounds = bounds.chain(["+Inf".to_owned()]);
    let mut below = 0;
    let buckets = bounds.zip(point.bucket_counts).map(|(bound, count)| {
        below += count;
        let name = format!("{name}_bucket");
        (series(&name, &labels, Some(&bound)), as_f64(below))
    });
    let mut all: Vec<_> = buckets.collect();
    let sum = point.sum.unwrap_or(f64::NAN);
    all.push((series(&format!("{name}_sum"), &labels, None), sum));
    let count = as_f64(point.count);
    all.push((series(&format!("{name}_count"), &labels, None), count));
    all
}

fn series(name: &str, labels: &Attributes, bound: Option<&str>) -> String {
    let labels = labels
        .iter()
        .map(|(label, value)| (label.as_str(), value.as_str()));
    let all = labels.chain(bound.map(|bound| ("le", bound)));
    let mut text = String::new();
    for (label, value) in all {
        let separator = if text.is_empty() { '{' } else { ',' };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{label}=\"{value}\"");
    }
    let end = if text.is_empty() { "" } else { "}" };
    format!("{name}{text}{end}")
}

#[expect(clippy::cast_precision_loss, reason = "no test counts so far")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
