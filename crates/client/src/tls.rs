//! Identity of the client, and the authority that it trusts.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use zeroize::Zeroizing;

use crate::BuildError;

/// Deadline of the TCP and TLS handshakes with a replica.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Mutual TLS: the CA certificate of the service, and the client's own certificate and
/// key. All are PEM.
#[derive(Clone)]
pub struct MutualTls {
    pems: Pems,
    files: Option<Files>,
}

#[derive(Clone, PartialEq, Eq)]
struct Pems {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Files {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl MutualTls {
    /// Reads the PEMs from files. The files are checked periodically, so that a renewed
    /// certificate is used without a restart.
    ///
    /// # Errors
    /// Returned if a file cannot be read or is not PEM of the expected kind.
    pub fn from_files(
        authority: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, BuildError> {
        let files = Files {
            authority: authority.into(),
            certificate: certificate.into(),
            key: key.into(),
        };
        Ok(Self {
            pems: files.read()?,
            files: Some(files),
        })
    }

    /// Takes the PEMs from memory.
    ///
    /// # Errors
    /// Returned if one of them is not PEM of the expected kind.
    pub fn from_pem(
        authority: impl Into<Vec<u8>>,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Result<Self, BuildError> {
        let pems = Pems {
            authority: authority.into(),
            certificate: certificate.into(),
            key: Zeroizing::new(key.into()),
        };
        pems.check()?;
        Ok(Self { pems, files: None })
    }

    /// The current content of the files, if there are files and the content has changed.
    pub(crate) fn renewed(&self) -> Result<Option<Self>, BuildError> {
        let Some(files) = &self.files else {
            return Ok(None);
        };
        let pems = files.read()?;
        Ok((pems != self.pems).then(|| Self {
            pems,
            files: Some(files.clone()),
        }))
    }

    /// Returns `true` if the certificates come from files.
    pub(crate) fn may_be_renewed(&self) -> bool {
        self.files.is_some()
    }

    pub(crate) fn config(&self, server_name: Option<&str>) -> ClientTlsConfig {
        let config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.pems.authority))
            .identity(Identity::from_pem(
                &self.pems.certificate,
                self.pems.key.as_slice(),
            ))
            .timeout(CONNECT_TIMEOUT);
        match server_name {
            Some(name) => config.domain_name(name),
            None => config,
        }
    }
}

impl Files {
    fn read(&self) -> Result<Pems, BuildError> {
        let pems = Pems {
            authority: read(&self.authority)?,
            certificate: read(&self.certificate)?,
            key: Zeroizing::new(read(&self.key)?),
        };
        pems.check()?;
        Ok(pems)
    }
}

impl Pems {
    fn check(&self) -> Result<(), BuildError> {
        for (what, pem, kind) in [
            ("authority", &self.authority, "CERTIFICATE-----"),
            ("certificate", &self.certificate, "CERTIFICATE-----"),
            ("key", &*self.key, "PRIVATE KEY-----"),
        ] {
            if !pem.windows(kind.len()).any(|text| text == kind.as_bytes()) {
                return Err(BuildError::NoPem { what });
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|cause| BuildError::File {
        path: path.to_owned(),
        cause,
    })
}

impl fmt::Debug for MutualTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutualTls")
            .field("key", &"[redacted]")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
