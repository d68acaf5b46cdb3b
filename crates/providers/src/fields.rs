//! The fields of an answer, however they are written: JSON (RFC 6749 section 5), also
//! with a byte-order mark, or a form as GitHub answers unless it is asked otherwise.

use serde_json::{Map, Value};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Fields that only a token endpoint answers: what has one of them and is a form is one.
const TOKEN_ENDPOINT_FIELDS: [&str; 2] = ["access_token", "error"];

/// A JSON document; nothing if the body is no JSON.
pub(crate) fn json(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(without_mark(body)).ok()
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// The fields; nothing where the body is neither an object nor such a form.
pub(crate) fn read(body: &[u8]) -> Option<Map<String, Value>> {
    let body = without_mark(body);
    if let Ok(value) = serde_json::from_slice(body) {
        return match value {
            Value::Object(fields) => Some(fields),
            _ => None,
        };
    }
    let looks_like_a_form = body
        .iter()
        .all(|byte| byte.is_ascii_graphic() && *byte != b'<');
    if !looks_like_a_form {
        return None;
    }
    let fields: Map<String, Value> = url::form_urlencoded::parse(body.trim_ascii())
        .map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())))
        .collect();
    TOKEN_ENDPOINT_FIELDS
        .iter()
        .any(|name| fields.contains_key(*name))
        .then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_forms_are_read_and_nothing_else() {
        for body in [
            r#"{"error":"invalid_grant"}"#,
            "\u{feff}{\"error\":\"invalid_grant\"}",
            "error=invalid_grant&error_description=It+is+expired",
        ] {
            let fields = read(body.as_bytes()).unwrap();
            assert_eq!(fields["error"], "invalid_grant", "{body}");
        }
        for body in ["", "[]", "null", "<html>error=x</html>", "no answer", "a=b"] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }
}
