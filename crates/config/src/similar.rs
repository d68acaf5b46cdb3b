//! Names and values that are almost those that are known.

use std::collections::BTreeSet;

use crate::{ConfigError, Environment};

/// The levels of `RUST_LOG`.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

impl Environment {
    /// The warnings that were [noted](Self::warn), and variables that are probably misspelt: a name
    /// that is not read and is similar to one that is, and what looks like a level in `RUST_LOG`.
    /// To be called when everything was read.
    pub fn warnings(&self) -> Vec<ConfigError> {
        let read = self.names_read();
        let mut warnings = self.noted();
        warnings.extend(
            self.names_set()
                .filter_map(|name| misspelt_name(name, &read)),
        );
        if let Some(filter) = self.text_of("RUST_LOG")
            && read.contains("RUST_LOG")
        {
            warnings.extend(misspelt_levels(filter));
        }
        warnings
    }
}

/// A warning if the variable is not read and its name is similar to one that is.
fn misspelt_name(name: &str, read: &BTreeSet<String>) -> Option<ConfigError> {
    let (value_name, suffix) = name
        .strip_suffix("_FILE")
        .map_or((name, ""), |value_name| (value_name, "_FILE"));
    if read.contains(name) || read.contains(value_name) {
        return None;
    }
    // `https_proxy` and `HTTP_PROXY` are no mistakes: other programs read them, and the HTTP client
    // knows them too.
    if name.to_ascii_uppercase().ends_with("_PROXY") {
        return None;
    }
    let similar = |name: &str| {
        let name = name.to_ascii_uppercase();
        most_similar(&name, read.iter().map(String::as_str))
    };
    let meant = similar(name)
        .map(str::to_owned)
        .or_else(|| Some(format!("{}{suffix}", similar(value_name)?)))?;
    let problem = format!("is not read: did you mean {meant}?");
    Some(ConfigError::new(name, problem))
}

/// A warning for each part of `RUST_LOG` that is similar to a level. It is valid, because the
/// name of a crate may stand there, and then nothing of the other crates is logged.
fn misspelt_levels(filter: &str) -> impl Iterator<Item = ConfigError> {
    filter.split(',').filter_map(|part| {
        let word = part.trim().to_ascii_lowercase();
        if LEVELS.contains(&word.as_str()) {
            return None;
        }
        // `warning` is the level of other logging systems.
        let meant = most_similar(word.strip_suffix("ing").unwrap_or(&word), LEVELS)?;
        let problem = format!(
            "contains {word}, which is taken for the name of a crate, so that the others log \
             nothing: did you mean {meant}?"
        );
        Some(ConfigError::new("RUST_LOG", problem))
    })
}

/// The candidate that differs least, by at most one letter, or two in a long text. Two letters
/// that changed places count as one.
fn most_similar<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = if text.len() < 8 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(text, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_almost_known_is_noticed_and_another_one_is_not() {
        let read = [
            "AMQP_URL",
            "AUTH_GOOGLE_CLIENT_ID",
            "DATABASE_URL",
            "HTTPS_PROXY",
            "SSL_CERT_FILE",
        ];
        let read = read.map(str::to_owned).into();
        for (name, meant) in [
            ("AUTH_GOGLE_CLIENT_ID", "AUTH_GOOGLE_CLIENT_ID"),
            ("AUTH_GOOGLE_CLIENT_DI_FILE", "AUTH_GOOGLE_CLIENT_ID_FILE"),
            ("DATABASE_URI", "DATABASE_URL"),
            ("database_url", "DATABASE_URL"),
            ("SSL_CERTS_FILE", "SSL_CERT_FILE"),
        ] {
            let warning = misspelt_name(name, &read).unwrap();
            assert_eq!(
                warning.to_string(),
                format!("{name}: is not read: did you mean {meant}?")
            );
        }
        for other in [
            "DATABASE_URL_FILE",
            "SSL_CERT_FILE",
            "APP_URL",
            "https_proxy",
            "HTTP_PROXY",
            "PATH",
            "_",
        ] {
            assert_eq!(misspelt_name(other, &read), None, "{other}");
        }
    }

    #[test]
    fn a_misspelt_level_is_noticed_and_the_name_of_a_crate_is_not() {
        for (filter, meant) in [
            ("inof", "info?"),
            ("warning", "warn?"),
            ("sqlx=debug, Trase", "trace?"),
        ] {
            let warning = misspelt_levels(filter).next().unwrap();
            assert!(warning.problem.ends_with(meant), "{warning}");
        }
        for fine in ["info", "DEBUG", "info,sqlx=warn", "auth_svc", "h2=off", ""] {
            assert_eq!(misspelt_levels(fine).next(), None, "{fine}");
        }
    }
}
