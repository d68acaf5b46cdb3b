//! The part of a sign-in that the browser sees: redirect, consent, callback.

use anyhow::Context as _;
use latchkey_demo_provider::Decision;
use latchkey_proto::events::UserAuthenticated;
use prost::Message as _;
use url::Url;
use uuid::Uuid;

use super::route::Route;
use crate::Stack;
use crate::browser::{Browser, Page, readable};
use crate::message_recorder::{MessageRecorder, RecordedMessage};
use crate::polling::BROKER_TIMEOUT;

/// Path of the sign-in page.
const SIGN_IN: &str = "/auth/sign-in";

/// A finished sign-in.
#[derive(Debug)]
pub struct SignIn {
    /// The provider's authorization URL.
    pub authorize: Url,
    /// The callback URL to which the provider redirected the browser.
    pub callback: Url,
    /// The response of the callback.
    pub landing: Page,
}

/// Submits the provider's form on the sign-in page and returns the authorization URL to which
/// it leads.
///
/// # Errors
/// The page has no such form, or its response has no `Refresh` header.
pub async fn authorize_address(
    browser: &mut Browser,
    stack: &Stack,
    path: &str,
) -> anyhow::Result<Url> {
    authorize_address_at(browser, stack.public_url(), path).await
}

/// Does the same on the pages of an auth-svc at any origin.
///
/// # Errors
/// The page has no such form, or its response has no `Refresh` header.
pub async fn authorize_address_at(
    browser: &mut Browser,
    at: &str,
    path: &str,
) -> anyhow::Result<Url> {
    authorize_address_on(browser, at, SIGN_IN, path).await
}

/// Does the same on one sign-in page.
async fn authorize_address_on(
    browser: &mut Browser,
    at: &str,
    page: &str,
    path: &str,
) -> anyhow::Result<Url> {
    let page = browser.get(format!("{at}{page}")).await?;
    let provider = path.rsplit('/').next().unwrap_or_default();
    let action = format!("{SIGN_IN}/{provider}");
    browser.submit(&page, &action).await?.refresh_target()
}

/// Signs in as a browser does, with this decision on the consent page. The decision is the same
/// if auth-svc redirects the browser back to ask for consent.
///
/// # Errors
/// A step fails.
pub async fn sign_in(
    browser: &mut Browser,
    stack: &Stack,
    path: &str,
    decision: &Decision,
) -> anyhow::Result<SignIn> {
    let authorize = authorize_address(browser, stack, path).await?;
    decide(browser, stack, authorize, decision).await
}

/// Does the same on the sign-in page of a workspace: with several workspaces, only this page says
/// where the account will be connected.
///
/// # Errors
/// A step fails.
pub async fn sign_in_to(
    browser: &mut Browser,
    stack: &Stack,
    workspace: Uuid,
    path: &str,
    decision: &Decision,
) -> anyhow::Result<SignIn> {
    let page = format!("{SIGN_IN}?workspaceId={workspace}");
    let authorize = authorize_address_on(browser, stack.public_url(), &page, path).await?;
    decide(browser, stack, authorize, decision).await
}

async fn decide(
    browser: &mut Browser,
    stack: &Stack,
    authorize: Url,
    decision: &Decision,
) -> anyhow::Result<SignIn> {
    let mut callback = stack.demo().decide(authorize.as_str(), decision).await?;
    let mut landing = browser.get(callback.clone()).await?;
    // R5: auth-svc repeats a sign-in without a refresh token once and asks for consent.
    let again = landing
        .location
        .clone()
        .filter(|next| next.as_str().starts_with(stack.demo().base_url()));
    if let Some(again) = again {
        callback = stack.demo().decide(again.as_str(), decision).await?;
        landing = browser.get(callback.clone()).await?;
    }
    Ok(SignIn {
        authorize,
        callback,
        landing,
    })
}

/// Consents as a person at the page of a demo provider at any origin `provider`, and opens the
/// callback. `returning` is called before each callback: the first one leads back to the provider
/// if auth-svc asks for consent (R5). Returns the response of the last callback.
///
/// # Errors
/// There is no response, the provider does not redirect the browser back, or auth-svc asks for
/// consent again and again.
pub async fn consent_and_return(
    browser: &mut Browser,
    mut authorize: Url,
    provider: &str,
    person: &str,
    mut returning: impl FnMut(),
) -> anyhow::Result<Page> {
    for _ in 0..2 {
        let consent = browser.post(&authorize, &[("person", person)]).await?;
        let callback = consent
            .redirect_target()
            .context("the demo provider does not redirect the browser back")?;
        returning();
        let landing = browser.get(callback).await?;
        match &landing.location {
            Some(again) if again.as_str().starts_with(provider) => authorize = again.clone(),
            _ => return Ok(landing),
        }
    }
    anyhow::bail!("auth-svc asks for consent again and again")
}

pub(super) async fn check(
    stack: &Stack,
    route: Route,
    person: &str,
    report: &impl Fn(&str),
) -> anyhow::Result<()> {
    let mut browser = Browser::new()?;
    let authorize = authorize_address(&mut browser, stack, route.path)
        .await
        .context("the sign-in does not start")?;
    report(&format!(
        "{SIGN_IN}, button {} → the provider",
        route.provider
    ));
    report(&format!("  {}", readable(&authorize)));
    for (name, wanted) in [
        ("client_id", Some(stack.demo().client_id())),
        ("response_type", Some("code")),
        ("code_challenge_method", Some("S256")),
        ("code_challenge", None),
        ("state", None),
        ("nonce", None),
    ] {
        let value = authorize
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned());
        anyhow::ensure!(
            value.is_some() && wanted.is_none_or(|wanted| value.as_deref() == Some(wanted)),
            "the authorization URL has {name}={value:?}"
        );
    }

    let callback = stack
        .demo()
        .decide(authorize.as_str(), &Decision::allow(person))
        .await
        .context("the demo provider does not redirect the browser back")?;
    report(&format!(
        "{person} consents → back to {}",
        readable(&callback)
    ));

    let landing = browser.get(callback).await?;
    let app = landing
        .redirect_target()
        .context("the callback was refused")?;
    let session = browser.cookie_names(app).join(", ");
    report(&format!(
        "callback → {} with cookie {session}",
        readable(app)
    ));
    anyhow::ensure!(
        landing.status == 302 || landing.status == 303,
        "the callback answered {}",
        landing.status
    );
    anyhow::ensure!(!session.is_empty(), "the callback set no session cookie");
    Ok(())
}

/// Waits for the event of the sign-in and checks it.
pub(super) async fn check_event(
    stack: &Stack,
    recorder: &mut MessageRecorder,
    handle: &str,
    report: &impl Fn(&str),
) -> anyhow::Result<()> {
    let is_wanted = |seen: &RecordedMessage| {
        seen.routing_key == "user.authenticated.v1"
            && UserAuthenticated::decode(seen.payload.as_slice())
                .ok()
                .and_then(|event| event.identity)
                .is_some_and(|identity| identity.handle == handle)
    };
    let seen = recorder
        .wait_for("user.authenticated.v1", BROKER_TIMEOUT, is_wanted)
        .await?;
    let event = UserAuthenticated::decode(seen.payload.as_slice())?;
    let connection = event
        .connection
        .context("the event has no connection: is automatic connection off?")?;
    let grant = connection.grant.context("the event has no grant")?;
    report(&format!(
        "event {} on {}: id {}, {} granted scopes, access token sealed in {} bytes, refresh token in {}",
        seen.routing_key,
        seen.exchange,
        seen.id,
        grant.granted_scopes.len(),
        grant.sealed_access_token.len(),
        grant.sealed_refresh_token.len()
    ));
    if let Some(trace) = seen.traceparent.split('-').nth(1) {
        report(&format!(
            "  trace {trace}, which is also in the logs of auth-svc and sync-svc"
        ));
    }
    anyhow::ensure!(
        !grant.sealed_refresh_token.is_empty(),
        "the event has no refresh token"
    );
    for issued in stack.demo().issued() {
        let token = issued.token.as_bytes();
        anyhow::ensure!(
            !seen
                .payload
                .windows(token.len())
                .any(|bytes| bytes == token),
            "the event contains a token in clear"
        );
    }
    Ok(())
}
