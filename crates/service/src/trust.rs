//! The certificate authorities that providers, broker and database are trusted by.

use std::path::Path;

use latchkey_config::{ConfigError, Environment};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Refuses `SSL_CERT_FILE` and `SSL_CERT_DIR` that name nothing: without them
/// every certificate would be refused, one call at a time.
///
/// # Errors
/// The file has no certificate, or the directory is none.
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
            let problem = format!("{path}: is no directory that can be read");
            return Err(ConfigError::new(DIRECTORY, problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_a_directory_that_is_not_there_stops_the_start() {
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
