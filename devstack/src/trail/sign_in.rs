//! The browser's part: redirect, consent, callback.

use anyhow::Context as _;
use latchkey_demo_provider::Decision;
use latchkey_proto::events::UserAuthenticated;
use prost::Message as _;
use url::Url;

use super::{PATIENCE, Route};
use crate::Stack;
use crate::browser::{Browser, Page, readable};
use crate::exchange::{Seen, Watcher};

/// Path of the sign-in page.
const SIGN_IN: &str = "/auth/sign-in";

/// A finished sign-in.
#[derive(Debug)]
pub struct SignIn {
    /// The provider's authorize address.
    pub authorize: Url,
    /// Where the provider sent the browser back.
    pub callback: Url,
    /// Answer of the callback.
    pub landing: Page,
}

/// Presses the provider's button on the sign-in page, as a person does who comes
/// for the first time; answers where that leads.
///
/// # Errors
/// There is no such button, or it leads nowhere.
pub async fn authorize_address(
    browser: &mut Browser,
    stack: &Stack,
    path: &str,
) -> anyhow::Result<Url> {
    let at = stack.public_url();
    let page = browser.get(format!("{at}{SIGN_IN}")).await?;
    let provider = path.rsplit('/').next().unwrap_or_default();
    let action = format!("{SIGN_IN}/{provider}");
    let fields = page.form(&action)?;
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let leaving = browser.post(format!("{at}{action}"), &fields).await?;
    leaving.goes_on_to()
}

/// Signs in as a browser does, with this answer on the consent page. Where
/// auth-svc sends the browser back to ask for consent, the answer is the same.
///
/// # Errors
/// A step answers otherwise.
pub async fn sign_in(
    browser: &mut Browser,
    stack: &Stack,
    path: &str,
    decision: &Decision,
) -> anyhow::Result<SignIn> {
    let authorize = authorize_address(browser, stack, path).await?;
    let mut callback = stack.demo().decide(authorize.as_str(), decision).await?;
    let mut landing = browser.get(callback.clone()).await?;
    // R5: a sign-in without a refresh token is repeated once, with consent.
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

pub(super) async fn tell(
    stack: &Stack,
    route: Route,
    person: &str,
    say: &impl Fn(&str),
) -> anyhow::Result<()> {
    let mut browser = Browser::new()?;
    let authorize = authorize_address(&mut browser, stack, route.path)
        .await
        .context("sign-in does not begin")?;
    say(&format!(
        "{SIGN_IN}, the button of {} → the provider",
        route.provider
    ));
    say(&format!("  {}", readable(&authorize)));
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
            "the address has {name}={value:?}"
        );
    }

    let callback = stack
        .demo()
        .decide(authorize.as_str(), &Decision::allow(person))
        .await
        .context("the demo provider does not send the browser back")?;
    say(&format!(
        "{person} consents → back to {}",
        readable(&callback)
    ));

    let landing = browser.get(callback).await?;
    let app = landing.sent_to().context("the callback was refused")?;
    let session = browser.cookie_names(app).join(", ");
    say(&format!(
        "callback → {} with cookie {session}",
        readable(app)
    ));
    anyhow::ensure!(
        landing.status == 302 || landing.status == 303,
        "the callback answered {}",
        landing.status
    );
    anyhow::ensure!(!session.is_empty(), "the callback left no session cookie");
    Ok(())
}

/// Waits for the sign-in's event.
pub(super) async fn tell_event(
    stack: &Stack,
    watcher: &mut Watcher,
    handle: &str,
    say: &impl Fn(&str),
) -> anyhow::Result<()> {
    let is_wanted = |seen: &Seen| {
        seen.routing_key == "user.authenticated.v1"
            && UserAuthenticated::decode(seen.payload.as_slice())
                .ok()
                .and_then(|event| event.identity)
                .is_some_and(|identity| identity.handle == handle)
    };
    let seen = watcher
        .wait_for("user.authenticated.v1", PATIENCE, is_wanted)
        .await?;
    let event = UserAuthenticated::decode(seen.payload.as_slice())?;
    let connection = event
        .connection
        .context("the event has no connection: is automatic connection off?")?;
    let grant = connection.grant.context("the event has no grant")?;
    say(&format!(
        "event {} on {}: id {}, {} granted scopes, access token sealed in {} bytes, refresh token in {}",
        seen.routing_key,
        seen.exchange,
        seen.id,
        grant.granted_scopes.len(),
        grant.sealed_access_token.len(),
        grant.sealed_refresh_token.len()
    ));
    if let Some(trace) = seen.traceparent.split('-').nth(1) {
        say(&format!(
            "  trace {trace}: also in the logs of auth-svc and sync-svc"
        ));
    }
    anyhow::ensure!(
        !grant.sealed_refresh_token.is_empty(),
        "the refresh token of the sign-in was lost"
    );
    for issued in stack.demo().issued() {
        let token = issued.token.as_bytes();
        anyhow::ensure!(
            !seen
                .payload
                .windows(token.len())
                .any(|bytes| bytes == token),
            "the event shows a token in clear"
        );
    }
    Ok(())
}
