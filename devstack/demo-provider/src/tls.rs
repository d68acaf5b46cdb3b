//! The TLS configuration of the HTTP server.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{DemoError, TlsFiles};

impl TlsFiles {
    /// Reads the files.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, DemoError> {
        let certificates = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(problem(&self.certificate))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(problem(&self.key))?;
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(problem(&self.certificate))?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(problem(&self.certificate))
    }
}

fn problem<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> DemoError {
    move |error| DemoError::Tls {
        path: path.to_owned(),
        problem: error.to_string(),
    }
}
