//! The certificate authorities that sign the certificates of providers, broker and database.

use std::path::Path;

use latchkey_config::{ConfigError, Environment};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Checks that `SSL_CERT_FILE` and `SSL_CERT_DIR` exist: otherwise each later connection would fail
/// because of its certificate.
///
/// # Errors
/// The file contains no certificate, or the directory cannot be read.
pub fn check(environment: &Environment) -> Result<(), ConfigError> {
    const FILE: &str = "SSL_CERT_FILE";
    const DIRECTORY: &str = "SSL_CERT_DIR";
    if let Some(path) = environment.optional(FILE)? {
        let wrong = |problem: String| ConfigError::new(FILE, format!("{path}: {problem}"));
        let found = CertificateDer::pem_file_iter(&path)
            .map_err(|error| wrong(error.to_string()))?
            .filter_map(Result::ok)
            .count();
        if found == 0 {
            return Err(wrong("has no certificate in PEM".to_owned()));
        }
    }
    if let Some(paths) = environment.optional(DIRECTORY)? {
        let missing = paths.split(':').find(|path| !Path::new(path).is_dir());
        if let Some(path) = missing {
            let problem = format!("{path}: is not a readable directory");
            return Err(ConfigError::new(DIRECTORY, problem));
        }
    }
    Ok(())
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
            let error = check(&environment).unwrap_err();
            assert_eq!(error.name, name);
        }
        assert_eq!(check(&Environment::default()), Ok(()));
    }
}
