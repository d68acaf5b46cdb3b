//! The proxy of requests to providers, which the HTTP client reads from the environment itself.

use http::Uri;
use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};

/// Checks `HTTPS_PROXY`: the HTTP client ignores a value that it cannot use, and connects directly.
/// `NO_PROXY` is read so that it is known; each of its values means something.
///
/// # Errors
/// The value is not the address of an HTTP proxy, or a variable is given by a file.
pub fn check(environment: &Environment) -> Result<(), ConfigErrors> {
    read_all! {
        let () = check_proxy(environment);
        let _ = environment.read_by_library("NO_PROXY");
    }
    Ok(())
}

fn check_proxy(environment: &Environment) -> Result<(), ConfigError> {
    const NAME: &str = "HTTPS_PROXY";
    let Some(text) = environment.read_by_library(NAME)? else {
        return Ok(());
    };
    let is_proxy = |uri: &Uri| match uri.scheme_str() {
        Some(scheme) => matches!(scheme, "http" | "https") && uri.host().is_some(),
        // `proxy:3128` means `http://proxy:3128`, as for other programs.
        None => uri.port().is_some(),
    };
    if text.parse::<Uri>().is_ok_and(|uri| is_proxy(&uri)) {
        return Ok(());
    }
    // The value is not shown: it may have a password.
    let problem = "must be the URL of an HTTP proxy, such as http://proxy.example.com:3128 or \
                   http://user:password@proxy.example.com:3128";
    Err(ConfigError::new(NAME, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, value: &str) -> Result<(), ConfigErrors> {
        check(&[(name, value)].into_iter().collect())
    }

    #[test]
    fn a_proxy_that_would_be_ignored_stops_the_start() {
        for url in [
            "http://proxy",
            "https://user:s3cret@[::1]:3128",
            "proxy:3128",
        ] {
            assert_eq!(checked("HTTPS_PROXY", url), Ok(()));
        }
        assert_eq!(checked("NO_PROXY", "10.0.0.0/8,.svc"), Ok(()));
        for (name, value) in [
            ("HTTPS_PROXY", "socks5://user:s3cret@proxy:1080"),
            ("HTTPS_PROXY", "s3cret"),
            ("HTTPS_PROXY", "http://"),
            ("HTTPS_PROXY_FILE", "/run/secrets/s3cret"),
            ("NO_PROXY_FILE", "/run/secrets/s3cret"),
        ] {
            let error = checked(name, value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}: ")), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
