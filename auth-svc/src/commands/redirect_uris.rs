//! `auth-svc redirect-uris`: prints what to enter in each provider's console (R41).

use std::fmt::Write as _;
use std::sync::Arc;

use latchkey_config::{ConfigErrors, Environment};
use latchkey_domain::SystemClock;
use latchkey_providers::{Provider, Purpose, Registry, built_in_names};

use crate::http::origin::WebOrigin;

/// Returns the text to print.
///
/// # Errors
/// Returns an error if variables of the providers, or `PUBLIC_URL`, are wrong or missing.
pub fn print(environment: &Environment) -> Result<String, ConfigErrors> {
    let registry = Registry::from_environment(environment, Arc::new(SystemClock))?;
    registry.require_callbacks()?;
    let public: Option<WebOrigin> = environment.optional_parsed("PUBLIC_URL")?;
    let mut text = String::new();
    for provider in registry.iter() {
        section(&mut text, provider, public.as_ref());
    }
    if text.is_empty() {
        let switches = built_in_names().map(|name| format!("AUTH_{}_ENABLED", name.to_uppercase()));
        let switches: Vec<String> = switches.collect();
        text = format!(
            "no provider is enabled: set {} or AUTH_OIDC_<NAME>_ISSUER\n",
            switches.join(", ")
        );
    }
    Ok(text)
}

/// Appends the lines of one provider. The results of `writeln!` are ignored because
/// writing to a `String` cannot fail.
fn section(text: &mut String, provider: &Provider, public: Option<&WebOrigin>) {
    let registration = provider.registration();
    let _ = writeln!(
        text,
        "{} ({})\n  {}:",
        provider.label(),
        provider.name(),
        registration.redirect_uris
    );
    let mut origins: Vec<String> = public.map(ToString::to_string).into_iter().collect();
    for purpose in [Purpose::SignIn, Purpose::Connect] {
        if let Some(uri) = provider.redirect_uri(purpose) {
            let _ = writeln!(text, "    {uri}");
            origins.push(uri.origin().ascii_serialization());
        }
    }
    origins.sort();
    origins.dedup();
    let _ = writeln!(text, "  {}:", registration.origins);
    for origin in origins {
        let _ = writeln!(text, "    {origin}");
    }
    if !registration.note.is_empty() {
        let _ = writeln!(text, "{}", registration.note);
    }
    text.push('\n');
}
