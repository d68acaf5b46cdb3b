//! Claims of an ID token, read with care.

use latchkey_domain::Handle;
use serde_json::{Map, Value};

/// Claims as they stand in a token whose signature holds.
#[derive(Debug)]
pub(crate) struct Claims(pub Map<String, Value>);

impl Claims {
    /// A text that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// Seconds since 1970; a fraction is cut off.
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

    /// An address; what is none is none, and no reason to refuse the person.
    pub(crate) fn handle(&self, name: &str) -> Option<Handle> {
        self.text(name)?.parse().ok()
    }

    /// The address, and whether the provider vouches for it
    /// (OpenID Connect Core section 5.1).
    pub(crate) fn email(&self) -> (Option<Handle>, bool) {
        let email = self.handle("email");
        let verified = email.is_some() && self.says_yes("email_verified");
        (email, verified)
    }

    /// `true`, or what providers write for it: `"true"`, `1`, `"1"`.
    pub(crate) fn says_yes(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(yes)) => *yes,
            Some(Value::String(text)) => text == "true" || text == "1",
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
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

    #[test]
    fn only_a_clear_yes_is_one() {
        for yes in [json!(true), json!("true"), json!(1), json!("1")] {
            assert!(claims(json!({ "c": yes })).says_yes("c"));
        }
        for no in [
            json!(false),
            json!("yes"),
            json!(2),
            json!(null),
            json!([true]),
            json!({}),
        ] {
            assert!(!claims(json!({ "c": no })).says_yes("c"));
        }
        assert!(!claims(json!({})).says_yes("c"));
    }

    proptest! {
        #[test]
        fn no_number_panics(seconds in any::<f64>()) {
            let _ = claims(json!({ "exp": seconds })).time("exp");
        }
    }
}
