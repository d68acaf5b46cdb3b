//! Certificates for tests of mutual TLS.

use std::path::PathBuf;

use latchkey_servers::{Certificates, KeyPairFiles};
use tempfile::TempDir;

/// A certificate authority, a server certificate for localhost and a client certificate. The
/// files are deleted when this value is dropped.
#[derive(Debug)]
pub struct TestCertificates {
    /// Path of the authority's certificate.
    pub authority: PathBuf,
    /// Certificate and key of a server on localhost and 127.0.0.1.
    pub server: KeyPairFiles,
    /// Certificate and key of a calling service named `test-client`.
    pub client: KeyPairFiles,
    certificates: Certificates,
    _directory: TempDir,
}

impl TestCertificates {
    /// Creates the certificates.
    ///
    /// # Panics
    /// The temporary directory cannot be written.
    #[expect(clippy::expect_used, reason = "a test cannot go on without them")]
    pub fn create() -> Self {
        let directory = tempfile::tempdir().expect("cannot make a temporary directory");
        let certificates =
            Certificates::create(directory.path()).expect("cannot make an authority");
        Self {
            authority: certificates.authority_file(),
            server: certificates
                .server("server")
                .expect("cannot make a server certificate"),
            client: certificates
                .client("test-client")
                .expect("cannot make a client certificate"),
            certificates,
            _directory: directory,
        }
    }

    /// Returns the authority, which issues certificates of other kinds.
    pub fn authority(&self) -> &Certificates {
        &self.certificates
    }

    /// Issues a certificate for another calling service.
    ///
    /// # Panics
    /// The temporary directory cannot be written.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn client_named(&self, name: &str) -> KeyPairFiles {
        self.certificates
            .client(name)
            .expect("cannot make a client certificate")
    }
}
