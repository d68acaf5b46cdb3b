//! The members of a response body: JSON (RFC 6749 section 5), perhaps with a byte-order
//! mark, or a form, which GitHub sends by default.

use serde_json::{Map, Value};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Members that identify a form as the response of a token endpoint.
const TOKEN_ENDPOINT_FIELDS: [&str; 2] = ["access_token", "error"];

/// Reads a JSON document. `None` if the body is not JSON.
pub(crate) fn json(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(without_mark(body)).ok()
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Reads the members. `None` if the body is neither a JSON object nor such a form.
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
    fn objects_and_forms_are_read() {
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
