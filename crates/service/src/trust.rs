//! The certificate authorities that sign the certificates of providers, broker and database.

use std::path::Path;

use latchkey_config::{ConfigError, ConfigErrors, Environment};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Checks that `SSL_CERT_FILE` and `SSL_CERT_DIR` exist: otherwise each later connection would fail
/// because of its certificate.
///
/// # Errors
/// The file contains no certificate, or a directory does not exist.
pub fn check(environment: &Environment) -> Result<(), ConfigErrors> {
    let mut errors = ConfigErrors::default();
    errors.take(check_file(environment));
    errors.take(check_directories(environment));
    errors.or(())
}

fn check_file(environment: &Environment) -> Result<(), ConfigError> {
    const NAME: &str = "SSL_CERT_FILE";
    let Some(path) = environment.read_by_library(NAME)? else {
        return Ok(());
    };
    let has_certificate = CertificateDer::pem_file_iter(&path)
        .is_ok_and(|mut certificates| certificates.any(|read| read.is_ok()));
    if has_certificate {
        return Ok(());
    }
    let problem = "must be the path of a readable file with certificates in PEM, such as \
                   /etc/ssl/certs/ca-certificates.crt";
    Err(ConfigError::new(NAME, problem))
}

fn check_directories(environment: &Environment) -> Result<(), ConfigError> {
    const NAME: &str = "SSL_CERT_DIR";
    let Some(paths) = environment.read_by_library(NAME)? else {
        return Ok(());
    };
    if paths.split(':').all(|path| Path::new(path).is_dir()) {
        return Ok(());
    }
    let problem = "must be directories that exist, such as /etc/ssl/certs, with : between them";
    Err(ConfigError::new(NAME, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_a_directory_that_does_not_exist_stops_the_start() {
        for (name, value) in [
            ("SSL_CERT_FILE", "/nowhere/ca.pem"),
            ("SSL_CERT_FILE", "/dev/null"),
            ("SSL_CERT_DIR", "/etc:/nowhere"),
        ] {
            let environment = [(name, value)].into_iter().collect();
            let errors = check(&environment).unwrap_err();
            assert!(errors.to_string().starts_with(name), "{errors}");
        }
        assert_eq!(check(&Environment::default()), Ok(()));
    }
}
