//! The receivers of traces and metrics, and the exporters to them: OTLP over gRPC.

use std::fmt::Display;
use std::time::Duration;

use http::Uri;
use latchkey_config::{ConfigError, Environment};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig};
use tonic::transport::ClientTlsConfig;

pub(super) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// An export that takes longer is given up. Its spans are lost; metrics are sums, which the next
/// export has.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The address of a receiver, `http://…` or `https://…`.
#[derive(Debug)]
pub(super) struct Endpoint {
    variable: &'static str,
    pub(super) url: String,
    tls: bool,
}

impl Endpoint {
    /// The receiver of a variable, if there is one.
    ///
    /// # Errors
    /// The variable is not a URL.
    pub(super) fn from_environment(
        environment: &Environment,
        variable: &'static str,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(url) = environment.optional(variable)? else {
            return Ok(None);
        };
        let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some());
        let tls = match uri.as_ref().and_then(Uri::scheme_str) {
            Some("http") => false,
            Some("https") => true,
            _ => {
                let problem =
                    "must be a URL with scheme and port, such as http://otel-collector:4317";
                return Err(ConfigError::new(variable, problem));
            }
        };
        Ok(Some(Self { variable, url, tls }))
    }

    /// An exporter of spans, which connects when it first has something to export.
    ///
    /// # Errors
    /// The exporter cannot be built, for example because there is no certificate authority.
    pub(super) fn span_exporter(&self) -> Result<SpanExporter, ConfigError> {
        self.of(SpanExporter::builder().with_tonic())
            .build()
            .map_err(|error| self.unusable(&error))
    }

    /// The same for metrics.
    ///
    /// # Errors
    /// As [`Self::span_exporter`].
    pub(super) fn metric_exporter(&self) -> Result<MetricExporter, ConfigError> {
        self.of(MetricExporter::builder().with_tonic())
            .build()
            .map_err(|error| self.unusable(&error))
    }

    /// An exporter to this receiver. With `https` the certificate authorities are those of the
    /// system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    fn of<B: WithExportConfig + WithTonicConfig>(&self, builder: B) -> B {
        let builder = builder
            .with_endpoint(self.url.as_str())
            .with_timeout(EXPORT_TIMEOUT);
        if self.tls {
            builder.with_tls_config(ClientTlsConfig::new().with_native_roots())
        } else {
            builder
        }
    }

    fn unusable(&self, error: &dyn Display) -> ConfigError {
        ConfigError::new(self.variable, format!("cannot be used: {error}"))
    }
}
