//! Pushed authorization requests (RFC 9126): the parameters of an authorization request are
//! sent to the provider directly, by the authenticated client, and the browser gets a
//! reference to them.

use latchkey_config::ConfigError;
use serde_json::Value;
use url::Url;

use crate::reader::Reader;
use crate::{ProviderError, fields};

const VARIABLE: &str = "PUSHED_AUTHORIZATION_REQUESTS";
/// Longest `request_uri` that is accepted, in bytes. It is part of the URL of the browser.
const MAX_REQUEST_URI: usize = 1024;

/// When authorization requests are pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushedAuthorization {
    /// If the discovery document says that the provider requires it.
    IfRequired,
    /// Always, for a client of which the provider requires it.
    Always,
    /// Never.
    Never,
}

impl PushedAuthorization {
    /// Reads `…_PUSHED_AUTHORIZATION_REQUESTS`.
    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        match reader.optional(VARIABLE)?.as_deref() {
            None | Some("auto") => Ok(Self::IfRequired),
            Some("always") => Ok(Self::Always),
            Some("never") => Ok(Self::Never),
            Some(_) => Err(reader.error(VARIABLE, "must be auto, always or never")),
        }
    }

    /// The endpoint that requests are pushed to. `None`: they are not pushed. `required` and
    /// `announced` are what the discovery document says.
    ///
    /// # Errors
    /// The provider announces no endpoint that can be used, or requires what is switched off.
    pub(crate) fn endpoint(
        self,
        required: bool,
        announced: Option<&Url>,
    ) -> Result<Option<&Url>, ProviderError> {
        let unsupported = |problem: String| Err(ProviderError::Unsupported(problem));
        match (self, announced) {
            (Self::Never, _) if required => unsupported(format!(
                "it requires pushed authorization requests (PAR, RFC 9126), and {VARIABLE} is \
                 never: set that to auto"
            )),
            (Self::Never, _) => Ok(None),
            (Self::IfRequired, _) if !required => Ok(None),
            (Self::IfRequired | Self::Always, Some(endpoint)) => Ok(Some(endpoint)),
            (Self::IfRequired, None) => unsupported(
                "it requires pushed authorization requests (PAR, RFC 9126) and announces no \
                 pushed_authorization_request_endpoint with https://"
                    .to_owned(),
            ),
            (Self::Always, None) => unsupported(format!(
                "it announces no pushed_authorization_request_endpoint with https:// (PAR, RFC \
                 9126), and {VARIABLE} is always: set that to auto"
            )),
        }
    }
}

/// The `request_uri` of a successful response (RFC 9126 section 2.2). `None` if there is none
/// that can be used. How long it is valid does not matter: the browser uses it at once, and
/// each start pushes a new request.
pub(crate) fn request_uri(body: &[u8]) -> Option<String> {
    let document = fields::json(body)?;
    let uri = document.get("request_uri").and_then(Value::as_str)?;
    let is_text = uri.bytes().all(|byte| byte.is_ascii_graphic());
    let usable = is_text && (1..=MAX_REQUEST_URI).contains(&uri.len());
    let expired = document
        .get("expires_in")
        .and_then(Value::as_f64)
        .is_some_and(|seconds| seconds <= 0.0);
    (usable && !expired).then(|| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    // RFC 9126 section 5.
    #[test]
    fn requests_are_pushed_if_the_provider_requires_it_or_if_it_is_configured() {
        use PushedAuthorization::{Always, IfRequired, Never};
        let endpoint = Url::parse("https://id.example/par").unwrap();
        let pushed = |when: PushedAuthorization, required: bool| {
            let chosen = when.endpoint(required, Some(&endpoint));
            chosen.map(|chosen| chosen.is_some()).ok()
        };
        assert_eq!(pushed(IfRequired, false), Some(false));
        assert_eq!(pushed(IfRequired, true), Some(true));
        assert_eq!(pushed(Always, false), Some(true));
        assert_eq!(pushed(Always, true), Some(true));
        assert_eq!(pushed(Never, false), Some(false));
        assert_eq!(pushed(Never, true), None);
        for (when, required) in [(IfRequired, true), (Always, false), (Always, true)] {
            let error = when.endpoint(required, None).unwrap_err();
            assert!(matches!(error, ProviderError::Unsupported(_)), "{error}");
        }
    }

    // RFC 9126 section 2.2.
    #[test]
    fn a_response_without_a_usable_request_uri_has_none() {
        let read = |body: Value| request_uri(body.to_string().as_bytes());
        let urn = "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c";
        for body in [
            json!({ "request_uri": urn, "expires_in": 60 }),
            json!({ "request_uri": urn }),
            json!({ "request_uri": urn, "expires_in": "60" }),
        ] {
            assert_eq!(read(body.clone()).as_deref(), Some(urn), "{body}");
        }
        for body in [
            json!({}),
            json!([]),
            json!({ "request_uri": null }),
            json!({ "request_uri": "" }),
            json!({ "request_uri": "urn:a b" }),
            json!({ "request_uri": "x".repeat(1025) }),
            json!({ "request_uri": urn, "expires_in": 0 }),
        ] {
            assert_eq!(read(body.clone()), None, "{body}");
        }
        assert_eq!(request_uri(b"<html>"), None);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = request_uri(&body);
        }
    }
}
