//! What the receivers of traces and of metrics have in common: a server of OTLP over gRPC.

use std::collections::BTreeMap;

use latchkey_servers::KeyPairFiles;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::task::AbortHandle;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Identity, Server, ServerTlsConfig};

/// Attributes by their names, as text.
pub(crate) type Attributes = BTreeMap<String, String>;

/// A server that stops when it is dropped.
#[derive(Debug)]
pub(crate) struct OtlpServer {
    endpoint: String,
    serving: AbortHandle,
}

impl OtlpServer {
    /// Starts a server without TLS.
    pub(crate) fn start(services: impl FnOnce(&mut Server) -> Router) -> Self {
        Self::serve("http", "127.0.0.1", &mut Server::builder(), services)
    }

    /// Starts a server whose certificate names `localhost`.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub(crate) fn start_with_tls(
        server: &KeyPairFiles,
        services: impl FnOnce(&mut Server) -> Router,
    ) -> Self {
        let read = |path| std::fs::read(path).expect("cannot read a certificate");
        let identity = Identity::from_pem(read(&server.certificate), read(&server.key));
        let tls = ServerTlsConfig::new().identity(identity);
        let mut server = Server::builder()
            .tls_config(tls)
            .expect("the certificate cannot be used");
        Self::serve("https", "localhost", &mut server, services)
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    fn serve(
        scheme: &str,
        host: &str,
        server: &mut Server,
        services: impl FnOnce(&mut Server) -> Router,
    ) -> Self {
        let address = ([127, 0, 0, 1], 0).into();
        let incoming = TcpIncoming::bind(address).expect("cannot listen");
        let port = incoming.local_addr().expect("no address").port();
        let serving = tokio::spawn(services(server).serve_with_incoming(incoming));
        Self {
            endpoint: format!("{scheme}://{host}:{port}"),
            serving: serving.abort_handle(),
        }
    }

    /// Its address, as variables have it.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for OtlpServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// `service.name` of a resource.
pub(crate) fn service_of(resource: Option<Resource>) -> String {
    let mut resource = attributes(resource.unwrap_or_default().attributes);
    resource.remove("service.name").unwrap_or_default()
}

pub(crate) fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    pairs
        .into_iter()
        .map(|pair| (pair.key, pair.value.map(text).unwrap_or_default()))
        .collect()
}

fn text(value: AnyValue) -> String {
    match value.value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
