//! The error in the body of a response, in each of the usual formats.

use serde_json::{Map, Value};

use crate::fields;

/// Members with the error code, the most specific one first.
const CODE_NAMES: [&str; 7] = [
    "error",
    "code",
    "error_code",
    "errorCode",
    "errorId",
    "status",
    "type",
];
/// Members that no token response has.
const ERROR_NAMES: [&str; 4] = ["error", "errors", "error_code", "errorCode"];
/// Members with a description.
const DESCRIPTION_NAMES: [&str; 7] = [
    "error_description",
    "message",
    "description",
    "errorSummary",
    "localizedMessage",
    "detail",
    "reason",
];

/// The members of an error body.
#[derive(Debug, Default)]
pub(super) struct Body(Map<String, Value>);

impl Body {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        fields::read(body).map(Self)
    }

    pub(super) fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Returns `true` if the body has an error and no access token.
    pub(super) fn refuses(&self) -> bool {
        let has = |name: &str| match self.0.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        };
        let not_ok = self.0.get("ok") == Some(&Value::Bool(false));
        !has("access_token") && (not_ok || ERROR_NAMES.into_iter().any(has))
    }

    /// The objects that may contain the error: `error` (as in Google's APIs), the first of
    /// `errors`, the body itself.
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

    /// The error code as it was sent.
    pub(super) fn error(&self) -> Option<&str> {
        let plain = self.0.get("error").and_then(Value::as_str);
        plain
            .filter(|text| !text.trim().is_empty())
            .or_else(|| self.first(&CODE_NAMES))
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
        let after_code = || Some(self.error()?.split_once(':')?.1.trim());
        self.first(&DESCRIPTION_NAMES).or_else(after_code)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Returns `true` if the body reports throttling, which may come with status 403.
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

/// The error code alone, in lower case: `invalid_grant` of `Invalid_Grant: expired`.
pub(super) fn normalized_code(error: &str) -> String {
    let head = error.split(':').next().unwrap_or_default().trim();
    let first = head.split_ascii_whitespace().next().unwrap_or_default();
    let word = if first.contains('_') { first } else { head };
    word.trim_end_matches(['.', ',', ';']).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_code_is_read_without_the_text_around_it() {
        for (error, expected) in [
            ("invalid_grant", "invalid_grant"),
            ("invalid_grant: Token expired", "invalid_grant"),
            ("Invalid_Grant", "invalid_grant"),
            ("invalid_grant (expired)", "invalid_grant"),
            ("Realm does not exist", "realm does not exist"),
            ("TOKEN_EXPIRED", "token_expired"),
            ("", ""),
        ] {
            assert_eq!(normalized_code(error), expected, "{error}");
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
    fn a_body_with_an_error_and_without_a_token_refuses() {
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
