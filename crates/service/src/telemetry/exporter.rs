//! The receiver of traces, and the exporter to it: OTLP over gRPC.

use std::time::Duration;

use http::Uri;
use latchkey_config::{ConfigError, Environment};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use tonic::transport::ClientTlsConfig;

pub(super) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// An export that takes longer is given up, and its spans are lost.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The address of a receiver, `http://…` or `https://…`.
#[derive(Debug)]
pub(super) struct Endpoint {
    url: String,
    tls: bool,
}

impl Endpoint {
    /// The receiver of `OTEL_EXPORTER_OTLP_ENDPOINT`, if there is one.
    ///
    /// # Errors
    /// The variable is not a URL.
    pub(super) fn from_environment(environment: &Environment) -> Result<Option<Self>, ConfigError> {
        let Some(url) = environment.optional(ENDPOINT)? else {
            return Ok(None);
        };
        let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some());
        let tls = match uri.as_ref().and_then(Uri::scheme_str) {
            Some("http") => false,
            Some("https") => true,
            _ => {
                let problem =
                    "must be a URL with scheme and port, such as http://otel-collector:4317";
                return Err(ConfigError::new(ENDPOINT, problem));
            }
        };
        Ok(Some(Self { url, tls }))
    }

    /// An exporter that connects when it first has something to export. With `https` the
    /// certificate authorities are those of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    ///
    /// # Errors
    /// The exporter cannot be built, for example because there is no certificate authority.
    pub(super) fn exporter(self) -> Result<SpanExporter, ConfigError> {
        let mut exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(self.url)
            .with_timeout(EXPORT_TIMEOUT);
        if self.tls {
            exporter = exporter.with_tls_config(ClientTlsConfig::new().with_native_roots());
        }
        exporter
            .build()
            .map_err(|error| ConfigError::new(ENDPOINT, format!("cannot be used: {error}")))
    }
}
