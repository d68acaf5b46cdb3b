//! What an error body says, in whichever of the usual shapes.

use serde_json::{Map, Value};

use crate::fields;

/// Where an error object has its word, the most telling first.
const WORDS: [&str; 7] = [
    "error",
    "code",
    "error_code",
    "errorCode",
    "errorId",
    "status",
    "type",
];
/// What no token answer has.
const NAMES_OF_ERRORS: [&str; 4] = ["error", "errors", "error_code", "errorCode"];
/// And its text for people.
const TEXTS: [&str; 7] = [
    "error_description",
    "message",
    "description",
    "errorSummary",
    "localizedMessage",
    "detail",
    "reason",
];

/// The fields of an error body; everything may be odd.
#[derive(Debug, Default)]
pub(super) struct Body(Map<String, Value>);

impl Body {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        fields::read(body).map(Self)
    }

    /// Returns `true` if the body refuses, whatever the status says: it has an error and
    /// no access token.
    pub(super) fn refuses(&self) -> bool {
        let has = |name: &str| match self.0.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        };
        let not_ok = self.0.get("ok") == Some(&Value::Bool(false));
        !has("access_token") && (not_ok || NAMES_OF_ERRORS.into_iter().any(has))
    }

    /// The objects that may hold the error: `error` (Google's API style), the first of
    /// `errors`, the body.
    fn objects(&self) -> impl Iterator<Item = &Map<String, Value>> {
        let nested = self.0.get("error").and_then(Value::as_object);
        let listed = self
            .0
            .get("errors")
            .and_then(|list| list.get(0)?.as_object());
        nested
            .into_iter()
            .chain(listed)
            .chain(std::iter::once(&self.0))
    }

    /// The word of the error, as it came.
    pub(super) fn error(&self) -> Option<&str> {
        let plain = self.0.get("error").and_then(Value::as_str);
        plain
            .filter(|text| !text.trim().is_empty())
            .or_else(|| self.first(&WORDS))
    }

    fn first(&self, names: &[&str]) -> Option<&str> {
        self.objects().find_map(|object| {
            names
                .iter()
                .filter_map(|name| object.get(*name)?.as_str())
                .find(|text| !text.trim().is_empty())
        })
    }

    pub(super) fn description(&self) -> Option<&str> {
        let after_the_word = || Some(self.error()?.split_once(':')?.1.trim());
        self.first(&TEXTS).or_else(after_the_word)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Microsoft's numbers: the list, else the one at the head of the text.
    pub(super) fn numbers(&self) -> Vec<u64> {
        if let Some(list) = self.0.get("error_codes").and_then(Value::as_array) {
            return list.iter().take(10).filter_map(Value::as_u64).collect();
        }
        let digits = |text: &str| {
            let rest = text.split_once("AADSTS")?.1;
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest.get(..end)?.parse().ok()
        };
        self.description().and_then(digits).into_iter().collect()
    }

    /// Throttling that arrives as 403.
    pub(super) fn mentions_rate_limit(&self) -> bool {
        let text = Value::Object(self.0.clone()).to_string().to_lowercase();
        [
            "ratelimitexceeded",
            "rate_limit",
            "quotaexceeded",
            "resource_exhausted",
        ]
        .iter()
        .any(|word| text.contains(word))
    }
}

/// The word alone, in lower case: `invalid_grant` of `Invalid_Grant: expired`.
pub(super) fn word(error: &str) -> String {
    let head = error.split(':').next().unwrap_or_default().trim();
    let first = head.split_ascii_whitespace().next().unwrap_or_default();
    let word = if first.contains('_') { first } else { head };
    word.trim_end_matches(['.', ',', ';']).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_out_of_what_surrounds_it() {
        for (error, expected) in [
            ("invalid_grant", "invalid_grant"),
            ("invalid_grant: Token expired", "invalid_grant"),
            ("Invalid_Grant", "invalid_grant"),
            ("invalid_grant (expired)", "invalid_grant"),
            ("Realm does not exist", "realm does not exist"),
            ("TOKEN_EXPIRED", "token_expired"),
            ("", ""),
        ] {
            assert_eq!(word(error), expected, "{error}");
        }
    }

    #[test]
    fn an_error_is_found_in_each_of_the_usual_places() {
        for body in [
            r#"{"error":"bad","error_description":"why"}"#,
            r#"{"error":{"code":"bad","message":"why"}}"#,
            r#"{"error":{"code":400,"status":"bad","message":"why"}}"#,
            r#"{"errors":[{"code":"bad","message":"why"}]}"#,
            r#"{"errorCode":"bad","errorSummary":"why"}"#,
            r#"{"status":"bad","message":"why"}"#,
            "error=bad&error_description=why",
        ] {
            let read = Body::read(body.as_bytes()).unwrap();
            assert_eq!(read.error(), Some("bad"), "{body}");
            assert_eq!(read.description(), Some("why"), "{body}");
        }
    }

    #[test]
    fn an_error_refuses_whatever_the_status_is_and_a_token_does_not() {
        for (body, refuses) in [
            (r#"{"error":"bad"}"#, true),
            (r#"{"error":{"code":"bad"}}"#, true),
            (r#"{"ok":false}"#, true),
            (r#"{"access_token":"","error":"bad"}"#, true),
            ("error=bad", true),
            (r#"{"access_token":"a","error":null,"status":"ok"}"#, false),
            (r#"{"access_token":"a","error":"warning"}"#, false),
            (r#"{"error":null}"#, false),
            (r#"{"status":"ok"}"#, false),
            ("{}", false),
        ] {
            let read = Body::read(body.as_bytes()).unwrap();
            assert_eq!(read.refuses(), refuses, "{body}");
        }
    }
}
