//! Strict parsing of query strings: no parameter comes twice, and none is too long.

use std::collections::HashMap;

use url::form_urlencoded;

/// Maximum length of a query string in bytes. Microsoft's authorization codes have about 2
/// kB.
const MAX_QUERY: usize = 8 * 1024;

/// Maximum length of a value in bytes.
const MAX_VALUE: usize = 4 * 1024;

/// Why a query string is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A parameter comes more than once (RFC 6749 section 3.1).
    #[error("a parameter is included more than once")]
    Duplicate,
    /// The query string or a value is longer than any provider sends.
    #[error("the query or one of its values is too long")]
    TooLong,
}

/// The parameters of a request.
#[derive(Default)]
pub struct Query(HashMap<String, String>);

impl Query {
    /// Parses a query string.
    ///
    /// # Errors
    /// Returns an error if a parameter is included more than once or is too long.
    pub fn parse(raw: &str) -> Result<Self, QueryError> {
        if raw.len() > MAX_QUERY {
            return Err(QueryError::TooLong);
        }
        let mut values = HashMap::new();
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            if value.len() > MAX_VALUE {
                return Err(QueryError::TooLong);
            }
            if values
                .insert(name.into_owned(), value.into_owned())
                .is_some()
            {
                return Err(QueryError::Duplicate);
            }
        }
        Ok(Self(values))
    }

    /// Builds a query with one parameter.
    pub fn single(name: &str, value: &str) -> Self {
        Self(HashMap::from([(name.to_owned(), value.to_owned())]))
    }

    /// Returns a query with only the parameters whose names `is_kept` accepts.
    #[must_use]
    pub fn only(&self, is_kept: impl Fn(&str) -> bool) -> Self {
        let kept = self.0.iter().filter(|(name, _)| is_kept(name));
        Self(kept.map(|(n, v)| (n.clone(), v.clone())).collect())
    }

    /// Returns a value. An empty value counts as absent (RFC 6749 section 3.1).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Returns the value of the first of several names of a parameter.
    pub fn any(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // RFC 6749 section 3.1
    #[test]
    fn a_parameter_that_comes_twice_is_refused() {
        assert_eq!(
            Query::parse("code=a&state=b&code=c").err(),
            Some(QueryError::Duplicate)
        );
        assert_eq!(
            Query::parse("code=&code=").err(),
            Some(QueryError::Duplicate)
        );
        assert_eq!(
            Query::parse("c%6fde=a&code=b").err(),
            Some(QueryError::Duplicate)
        );
    }

    #[test]
    fn what_no_honest_provider_sends_is_refused() {
        let long = format!("code={}", "a".repeat(MAX_VALUE + 1));
        assert_eq!(Query::parse(&long).err(), Some(QueryError::TooLong));
    }

    #[test]
    fn a_value_has_up_to_4_kib_and_a_query_up_to_8() {
        let value = |length| Query::parse(&format!("code={}", "a".repeat(length)));
        assert!(value(4096).is_ok());
        assert_eq!(value(4097).err(), Some(QueryError::TooLong));
        let query = |length| {
            let rest = length - "a=&b=&c=".len() - 2 * 4000;
            let long = "x".repeat(4000);
            Query::parse(&format!("a={long}&b={long}&c={}", "x".repeat(rest)))
        };
        assert!(query(8192).is_ok());
        assert_eq!(query(8193).err(), Some(QueryError::TooLong));
    }

    #[test]
    fn an_empty_value_counts_as_left_out() {
        let query = Query::parse("error=&code=x").unwrap();
        assert_eq!((query.get("error"), query.get("code")), (None, Some("x")));
    }

    proptest! {
        #[test]
        fn no_query_panics(raw in ".{0,300}") {
            let _ = Query::parse(&raw);
        }
    }
}
