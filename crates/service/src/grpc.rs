//! Mutual TLS of the gRPC servers (R36).

use std::time::Duration;

use latchkey_config::{ConfigError, Environment};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

/// A TLS handshake that takes longer is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS of a server that takes only callers with a certificate of
/// `GRPC_TLS_CLIENT_CA`; its own are `GRPC_TLS_CERT` and `GRPC_TLS_KEY` (PEM,
/// usually from files: `GRPC_TLS_CERT_FILE` and so on).
///
/// # Errors
/// One of them is missing or is no PEM.
pub fn server_tls(environment: &Environment) -> Result<ServerTlsConfig, ConfigError> {
    let certificate = pem(environment, "GRPC_TLS_CERT", "CERTIFICATE")?;
    let key = pem(environment, "GRPC_TLS_KEY", "PRIVATE KEY")?;
    let client_ca = pem(environment, "GRPC_TLS_CLIENT_CA", "CERTIFICATE")?;
    Ok(ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(client_ca))
        .timeout(HANDSHAKE_TIMEOUT))
}

fn pem(environment: &Environment, name: &str, kind: &str) -> Result<String, ConfigError> {
    let text = environment.required(name, &format!("a PEM {kind}, or {name}_FILE to its path"))?;
    if text.contains(&format!("{kind}-----")) {
        Ok(text)
    } else {
        Err(ConfigError::new(
            name,
            format!("has no PEM block of kind {kind}"),
        ))
    }
}
