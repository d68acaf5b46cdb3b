//! Parses and validates requests.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use latchkey_domain::{AccountId, Handle, ProviderName, ScopeSet, WorkspaceId};
use latchkey_proto::duration_of;
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::{AccountSelector, GetAccessTokenRequest, RefreshAccessTokenRequest};
use tonic::Status;

use super::status::invalid;
use crate::engine::Need;

/// Used if the request states no minimum.
const DEFAULT_MIN_REMAINING: Duration = Duration::from_mins(1);
/// Larger values are refused.
const MAX_MIN_REMAINING: Duration = Duration::from_hours(1);
/// Limit of scopes per request.
const MAX_SCOPES: usize = 100;
/// Limit of a claims challenge in bytes.
const MAX_CLAIMS_BYTES: usize = 8 * 1024;

/// A parsed selector.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selected {
    /// By account id.
    Account(AccountId),
    /// By workspace, provider and handle.
    Handle {
        workspace: WorkspaceId,
        provider: ProviderName,
        handle: Handle,
    },
}

pub(super) fn selected(selector: Option<AccountSelector>) -> Result<Selected, Status> {
    match selector.and_then(|selector| selector.selector) {
        Some(Selector::AccountId(id)) => id
            .parse()
            .map(Selected::Account)
            .map_err(|error| invalid("account.account_id", &error)),
        Some(Selector::Handle(handle)) => Ok(Selected::Handle {
            workspace: handle
                .workspace_id
                .parse()
                .map_err(|error| invalid("account.handle.workspace_id", &error))?,
            provider: handle
                .provider
                .parse()
                .map_err(|error| invalid("account.handle.provider", &error))?,
            handle: handle
                .handle
                .parse()
                .map_err(|error| invalid("account.handle.handle", &error))?,
        }),
        None => Err(invalid("account", &"must be given by id or by handle")),
    }
}

pub(super) fn need(request: &GetAccessTokenRequest) -> Result<Need, Status> {
    let min_remaining = match &request.min_remaining {
        None => DEFAULT_MIN_REMAINING,
        Some(duration) => Duration::try_from(duration_of(duration))
            .map_err(|_| invalid("min_remaining", &"must not be negative"))?,
    };
    if min_remaining > MAX_MIN_REMAINING {
        return Err(invalid("min_remaining", &"must be at most one hour"));
    }
    let scopes = &request.required_scopes;
    if scopes.len() > MAX_SCOPES {
        return Err(invalid("required_scopes", &"must have at most 100 entries"));
    }
    // RFC 6749 section 3.3: printable ASCII without space, quote and backslash.
    let well_formed = |scope: &String| {
        !scope.is_empty()
            && scope
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    if !scopes.iter().all(well_formed) {
        return Err(invalid(
            "required_scopes",
            &"must each be one scope (RFC 6749 section 3.3)",
        ));
    }
    Ok(Need {
        min_remaining,
        scopes: scopes.iter().cloned().collect::<ScopeSet>(),
        refused_version: None,
        claims: None,
    })
}

pub(super) fn need_after_refusal(request: &RefreshAccessTokenRequest) -> Result<Need, Status> {
    if request.refused_version < 1 {
        return Err(invalid(
            "refused_version",
            &"must be the version of the token that was refused",
        ));
    }
    Ok(Need {
        min_remaining: DEFAULT_MIN_REMAINING,
        scopes: ScopeSet::default(),
        refused_version: Some(request.refused_version),
        claims: claims(&request.claims)?,
    })
}

/// Parses a claims challenge: a JSON object, or one in base64url as in
/// `WWW-Authenticate`.
fn claims(text: &str) -> Result<Option<Arc<str>>, Status> {
    let wrong = || {
        invalid(
            "claims",
            &"must be a JSON object of at most 8 KiB, optionally in base64",
        )
    };
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > MAX_CLAIMS_BYTES {
        return Err(wrong());
    }
    let json = if text.starts_with('{') {
        text.to_owned()
    } else {
        let unpadded = text
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_");
        let bytes = URL_SAFE_NO_PAD.decode(unpadded).map_err(|_| wrong())?;
        String::from_utf8(bytes).map_err(|_| wrong())?
    };
    let value: serde_json::Value = serde_json::from_str(&json).map_err(|_| wrong())?;
    if !value.is_object() {
        return Err(wrong());
    }
    Ok(Some(json.into()))
}

#[cfg(test)]
mod tests {
    use latchkey_proto::token::AccountHandle;
    use proptest::prelude::*;

    use super::*;

    fn with_min_remaining(seconds: i64, nanos: i32) -> GetAccessTokenRequest {
        GetAccessTokenRequest {
            min_remaining: Some(prost_types::Duration { seconds, nanos }),
            ..GetAccessTokenRequest::default()
        }
    }

    // R30
    #[test]
    fn the_asked_life_has_a_default_and_a_bound() {
        let asked = need(&GetAccessTokenRequest::default()).unwrap();
        assert_eq!(asked.min_remaining, Duration::from_mins(1));
        let asked = need(&with_min_remaining(3600, 0)).unwrap();
        assert_eq!(asked.min_remaining, Duration::from_hours(1));
        for (seconds, nanos) in [(3600, 1), (i64::MAX, 0)] {
            let refused = need(&with_min_remaining(seconds, nanos)).unwrap_err();
            assert_eq!(refused.message(), "min_remaining: must be at most one hour");
        }
        assert!(need(&with_min_remaining(-1, 0)).is_err());
    }

    #[test]
    fn a_handle_is_compared_without_case() {
        let selector = AccountSelector {
            selector: Some(Selector::Handle(AccountHandle {
                workspace_id: "018f0000-0000-7000-8000-000000000001".to_owned(),
                provider: "google".to_owned(),
                handle: "Ada@Example.com".to_owned(),
            })),
        };
        let Selected::Handle { handle, .. } = selected(Some(selector)).unwrap() else {
            panic!("must be a handle");
        };
        assert_eq!(handle.as_str(), "ada@example.com");
    }

    proptest! {
        #[test]
        fn no_request_panics(
            seconds in any::<i64>(), nanos in any::<i32>(), version in any::<i64>(),
            scope in ".{0,20}", id in ".{0,40}",
        ) {
            let mut request = with_min_remaining(seconds, nanos);
            request.required_scopes = vec![scope];
            let _ = need(&request);
            let _ = need_after_refusal(&RefreshAccessTokenRequest {
                refused_version: version,
                account: None,
                claims: id.clone(),
            });
            let _ = selected(Some(AccountSelector { selector: Some(Selector::AccountId(id)) }));
        }
    }
}
