//! Certificates for mutual TLS: a certificate authority, and certificates of servers and
//! clients.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::ServerError;

/// Paths of a certificate and its key.
#[derive(Debug, Clone)]
pub struct KeyPairFiles {
    /// Certificate, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM, readable by its owner only.
    pub key: PathBuf,
}

/// A certificate authority for one run. The certificates that it signs are files in one
/// directory.
pub struct Certificates {
    directory: PathBuf,
    authority: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Creates an authority and writes its certificate to `directory/ca.pem`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn create(directory: &Path) -> Result<Self, ServerError> {
        fs::create_dir_all(directory).map_err(ServerError::file(directory))?;
        let (authority, certificate) = new_authority("Latchkey development authority")?;
        let certificates = Self {
            directory: directory.to_owned(),
            authority,
        };
        write(&certificates.authority_file(), &certificate, 0o644)?;
        Ok(certificates)
    }

    /// Path of the authority's certificate, PEM.
    pub fn authority_file(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Issues a certificate for a server on this machine: localhost, 127.0.0.1, ::1.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn server(&self, name: &str) -> Result<KeyPairFiles, ServerError> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        self.issue(name, &names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a certificate for the calling service `name`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn client(&self, name: &str) -> Result<KeyPairFiles, ServerError> {
        self.issue(
            name,
            &[name.to_owned()],
            ExtendedKeyUsagePurpose::ClientAuth,
        )
    }

    /// Issues a certificate for a caller with the SPIFFE id `id`, in files called `name`.
    ///
    /// # Errors
    /// The id is not a URI, or the files cannot be written.
    pub fn client_with_id(&self, name: &str, id: &str) -> Result<KeyPairFiles, ServerError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
        self.sign(name, params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Issues a certificate for a caller without a subject alternative name.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn client_without_names(&self, name: &str) -> Result<KeyPairFiles, ServerError> {
        self.issue(name, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Issues a caller's certificate that expired in 2001.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn expired_client(&self, name: &str) -> Result<KeyPairFiles, ServerError> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 2, 1);
        self.sign(name, params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        name: &str,
        names: &[String],
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<KeyPairFiles, ServerError> {
        self.sign(name, CertificateParams::new(names)?, usage)
    }

    fn sign(
        &self,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<KeyPairFiles, ServerError> {
        let key = KeyPair::generate()?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.authority)?;
        let files = KeyPairFiles {
            certificate: self.directory.join(format!("{name}.pem")),
            key: self.directory.join(format!("{name}.key")),
        };
        write(&files.certificate, &certificate.pem(), 0o644)?;
        write(&files.key, &key.serialize_pem(), 0o600)?;
        Ok(files)
    }
}

/// Creates a certificate authority, and returns it with its certificate, PEM.
///
/// # Errors
/// The random generator fails.
pub fn new_authority(name: &str) -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), certificate))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), ServerError> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(ServerError::file(path))
}
