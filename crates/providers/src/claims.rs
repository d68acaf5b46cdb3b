//! Claims of an ID token or of a userinfo response, which may have any type.

use std::time::Duration;

use latchkey_domain::Handle;
use serde_json::{Map, Value};

/// Accepted difference between the clock of the provider and that of this process.
pub(crate) const LEEWAY: Duration = Duration::from_mins(1);

/// The claims of an ID token or of a userinfo response.
#[derive(Debug)]
pub(crate) struct Claims(pub Map<String, Value>);

impl Claims {
    /// A claim that is a text and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// Seconds since 1970, without their fraction.
    pub(crate) fn time(&self, name: &str) -> Option<i64> {
        let value = self.0.get(name)?;
        value.as_i64().or_else(|| {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "within the bounds of the filter"
            )]
            value
                .as_f64()
                .filter(|seconds| (0.0..1e15).contains(seconds))
                .map(|seconds| seconds as i64)
        })
    }

    /// A mail address. `None` if it is not a valid one: the person can still sign in.
    pub(crate) fn handle(&self, name: &str) -> Option<Handle> {
        self.text(name)?.parse().ok()
    }

    /// A boolean. Some providers send it as a text, in lower or upper case (`"True"`).
    /// `None` if the claim is absent or has another value.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        match self.0.get(name)? {
            Value::Bool(value) => Some(*value),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        Claims(serde_json::from_value(value).unwrap())
    }

    // R7
    #[test]
    fn a_flag_is_a_boolean_or_the_text_of_one() {
        let flag = |value: Value| claims(json!({ "c": value })).flag("c");
        for yes in [json!(true), json!("true"), json!("True"), json!("TRUE")] {
            assert_eq!(flag(yes.clone()), Some(true), "{yes}");
        }
        for no in [json!(false), json!("false"), json!("False")] {
            assert_eq!(flag(no.clone()), Some(false), "{no}");
        }
        for neither in [
            json!("yes"),
            json!("1"),
            json!(1),
            json!(""),
            json!(null),
            json!([true]),
            json!({}),
        ] {
            assert_eq!(flag(neither.clone()), None, "{neither}");
        }
        assert_eq!(claims(json!({})).flag("c"), None);
    }

    proptest! {
        #[test]
        fn no_number_panics(seconds in any::<f64>()) {
            let _ = claims(json!({ "exp": seconds })).time("exp");
        }
    }
}
