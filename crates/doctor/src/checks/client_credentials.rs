//! Whether each provider accepts the client's credentials: a code or a refresh token that does not
//! exist is refused with `invalid_grant` if it does, and with `invalid_client` if it does not
//! (RFC 6749 section 5.2).

use std::sync::Arc;

use futures::future::join_all;
use latchkey_domain::RefreshToken;
use latchkey_providers::{
    AuthorizationCode, Delivery, FailureClass, PkceCodeVerifier, Provider, Purpose, TokenError,
};

use crate::check_id::CheckId;
use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::world::World;

/// A code, or a refresh token, that no provider issued.
const CODE: &str = "latchkey-doctor-no-such-code";
/// A verifier of the required form (RFC 7636 section 4.1).
const VERIFIER: &str = "latchkey-doctor-latchkey-doctor-latchkey-doctor";

pub(crate) async fn check(world: &World) -> Outcome {
    let mut asked: Vec<(&str, Arc<Provider>)> = Vec::new();
    for (source, registry) in world.provider_sources() {
        let providers = registry.iter().cloned();
        asked.extend(providers.map(|provider| (source.name.as_str(), provider)));
    }
    if asked.is_empty() {
        return Err(NotLooked::Because(CheckId::Providers));
    }
    let answers = join_all(asked.iter().map(|(_, provider)| look(provider))).await;
    let mut seen = Vec::new();
    let mut findings = Vec::new();
    for ((source, provider), answer) in asked.iter().zip(answers) {
        let reply = reply_of(answer.as_ref());
        if accepts(answer.as_ref()) == Some(false) {
            findings.push(finding(source, provider.label(), &reply));
        }
        seen.push(format!("{}, of {source}: {reply}", provider.label()));
    }
    Ok(Looked {
        seen,
        findings,
        detail: None,
    })
}

fn finding(source: &str, provider: &str, reply: &str) -> Finding {
    Finding {
        code: "client_credentials",
        runbook: Runbook::ClientSecret,
        problem: format!(
            "{provider} does not accept the client secret or the client's key: {reply}"
        ),
        looked_at: format!(
            "a token request to {provider} with the credentials of {source} and a code that does \
             not exist"
        ),
        remedy: format!(
            "compare id and secret, or TOKEN_AUTH_METHOD and the output of `latchkey client-keys`, \
             with the registration at {provider}: has the secret expired, was it replaced? Set it at \
             auth-svc and refresh-svc and restart them"
        ),
    }
}

/// `None` if the provider gave tokens, which no provider does.
async fn look(provider: &Provider) -> Option<TokenError> {
    // refresh-svc has no redirect URI, which the request with a code must name.
    if provider.redirect_uri(Purpose::SignIn).is_none() {
        let token = RefreshToken::new(CODE);
        return provider.refresh(&token).await.err();
    }
    let code = AuthorizationCode::new(CODE.to_owned());
    let verifier = PkceCodeVerifier::new(VERIFIER.to_owned());
    let exchanged = provider.exchange_code(Purpose::SignIn, code, verifier);
    exchanged.await.err()
}

/// Whether the answer says that the client is accepted; `None` if it says nothing about it.
fn accepts(answer: Option<&TokenError>) -> Option<bool> {
    let Some(error) = answer else {
        return Some(true);
    };
    match error.class {
        _ if error.delivery != Delivery::Refused => None,
        FailureClass::ClientMisconfigured | FailureClass::Unauthorized => Some(false),
        FailureClass::RateLimit | FailureClass::ProviderUnavailable => None,
        _ => Some(true),
    }
}

/// The code of the answer and its description, which contains none of what was sent.
fn reply_of(answer: Option<&TokenError>) -> String {
    let Some(error) = answer else {
        return "tokens".to_owned();
    };
    let code = error
        .code
        .clone()
        .unwrap_or_else(|| error.class.to_string());
    match &error.description {
        Some(description) => format!("{code} ({description})"),
        None => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_the_client_is_about_its_credentials() {
        let answer = |class| accepts(Some(&TokenError::of(class)));
        assert_eq!(answer(FailureClass::InvalidRefreshToken), Some(true));
        assert_eq!(answer(FailureClass::ClientMisconfigured), Some(false));
        assert_eq!(answer(FailureClass::Unauthorized), Some(false));
        assert_eq!(answer(FailureClass::RequestRejected), Some(true));
        assert_eq!(answer(FailureClass::Network), None);
        assert_eq!(answer(FailureClass::ProviderUnavailable), None);
    }
}
