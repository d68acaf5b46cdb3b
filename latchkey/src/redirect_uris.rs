//! `latchkey redirect-uris`: what to enter in each provider's console (R41).

use std::fmt::Write as _;
use std::sync::Arc;

use latchkey_config::{Environment, WebOrigin};
use latchkey_domain::SystemClock;
use latchkey_providers::{Provider, Purpose, Registry, built_in_names};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::failure::Failure;

/// Runs the command.
pub(crate) fn run(environment: &Environment) -> Result<Answer, Failure> {
    let registry = Registry::from_environment(environment, Arc::new(SystemClock))?;
    registry.require_callbacks()?;
    let public: Option<WebOrigin> = environment.optional_parsed("PUBLIC_URL")?;
    let entries = registry
        .iter()
        .map(|provider| entry(provider, public.as_ref()));
    let switches = built_in_names().map(|name| format!("AUTH_{}_ENABLED", name.to_uppercase()));
    let switches: Vec<String> = switches.collect();
    let none = format!(
        "no provider is enabled: set {} or AUTH_OIDC_<NAME>_ISSUER",
        switches.join(", ")
    );
    Ok(Answer::list(entries, &none))
}

/// Returns the lines of one provider, and the same as JSON.
fn entry(provider: &Provider, public: Option<&WebOrigin>) -> (String, Value) {
    let registration = provider.registration();
    let purposes = [Purpose::SignIn, Purpose::Connect];
    let uris = purposes.map(|purpose| provider.redirect_uri(purpose));
    let uris: Vec<_> = uris.into_iter().flatten().collect();
    let mut origins: Vec<String> = public.map(ToString::to_string).into_iter().collect();
    origins.extend(uris.iter().map(|uri| uri.origin().ascii_serialization()));
    origins.sort();
    origins.dedup();
    let uris: Vec<String> = uris.iter().map(ToString::to_string).collect();

    let mut text = format!("{} ({})\n", provider.label(), provider.name());
    let mut section = |title: &str, values: &[String]| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {title}:");
        for value in values {
            let _ = writeln!(text, "    {value}");
        }
    };
    section(registration.redirect_uris, &uris);
    let logout = provider.backchannel_logout_uri().map(String::from);
    if let Some(logout) = &logout {
        section("Back-channel logout URL", std::slice::from_ref(logout));
    }
    let signed_out = provider.post_logout_redirect_uri().map(String::from);
    if let Some(signed_out) = &signed_out {
        section("Post-logout redirect URI", std::slice::from_ref(signed_out));
    }
    section(registration.origins, &origins);
    if !registration.note.is_empty() {
        let _ = writeln!(text, "{}", registration.note);
    }
    let json = json!({
        "provider": provider.name().as_str(),
        "label": provider.label(),
        "redirectUris": uris,
        "backchannelLogoutUri": logout,
        "postLogoutRedirectUri": signed_out,
        "origins": origins,
    });
    (text, json)
}
