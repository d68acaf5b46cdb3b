//! The URLs of servers, which contain a password.

use crate::{ConfigError, Environment};

impl Environment {
    /// The URL of a server, whose scheme is one of `schemes`. `example` tells the operator what
    /// to set it to.
    ///
    /// # Errors
    /// It is not set, has another scheme, or its password contains characters that are not
    /// percent-encoded. The URL is never shown.
    pub fn server_url(
        &self,
        name: &str,
        schemes: &[&str],
        example: &str,
    ) -> Result<String, ConfigError> {
        let url = self.required(name, example)?;
        if let Some(hint) = hint_of_server_url(&url) {
            return Err(ConfigError::new(name, hint));
        }
        match url.split_once("://") {
            Some((scheme, _)) if schemes.contains(&scheme) => Ok(url),
            _ => {
                let problem = format!("must be a URL such as {example}");
                Err(ConfigError::new(name, problem))
            }
        }
    }
}

/// A hint for the operator if the user name or the password in the URL of a server contains a
/// special character that is not percent-encoded. The URL is never shown.
pub fn hint_of_server_url(url: &str) -> Option<&'static str> {
    const RAW: &str = "has a raw special character in its user name or password: write each of \
                       @ : / ? # % and [ ] percent-encoded there (@ as %40, : as %3A, / as %2F, \
                       ? as %3F, # as %23, % as %25)";
    let (_, rest) = url.split_once("://")?;
    // A raw `/`, `?` or `#` ends the authority early, and the `@` remains in the rest.
    let (authority, behind) = rest
        .find(['/', '?', '#'])
        .map_or((rest, ""), |end| rest.split_at(end));
    let cut = !authority.is_empty() && !authority.contains('@') && behind.contains('@');
    let credentials = authority.rsplit_once('@').map_or("", |(before, _)| before);
    let stray = credentials.contains('@')
        || credentials.matches(':').count() > 1
        || credentials.contains(['[', ']', ' ']);
    (cut || stray || has_stray_percent(credentials)).then_some(RAW)
}

fn has_stray_percent(text: &str) -> bool {
    text.split('%').skip(1).any(|behind| {
        let code = behind.as_bytes().get(..2);
        !code.is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_special_character_is_hinted_at_and_an_encoded_one_is_fine() {
        for raw in [
            "postgres://user:p@ss@host/db",
            "postgres://user:p/ss@host/db",
            "postgres://user:12#34@host/db",
            "amqp://user:p?ss@host:5672/v",
            "amqp://user:p%ss@host:5672/v",
            "amqp://user:a:b@host:5672/v",
        ] {
            assert!(hint_of_server_url(raw).is_some(), "{raw}");
        }
        for fine in [
            "postgres://user:p%40ss@host:5432/db?sslmode=require",
            "postgres://host/db",
            "postgres:///db?host=/run/postgresql&user=a@b",
            "amqps://user:p%25@[::1]:5671/%2f",
            "nothing",
        ] {
            assert!(hint_of_server_url(fine).is_none(), "{fine}");
        }
    }
}
