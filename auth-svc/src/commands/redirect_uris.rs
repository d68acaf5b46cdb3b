//! `auth-svc redirect-uris`: prints what to enter in each provider's console (R41).

use std::fmt::Write as _;
use std::sync::Arc;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::SystemClock;
use latchkey_providers::{Provider, ProviderKind, Purpose, Registry};

use crate::http::origin::WebOrigin;

/// Returns the text to print.
///
/// # Errors
/// Returns an error if a variable of a provider, or `PUBLIC_URL`, is wrong or missing.
pub fn print(environment: &Environment) -> Result<String, ConfigError> {
    let registry = Registry::from_environment(environment, Arc::new(SystemClock))?;
    registry.require_callbacks()?;
    let public: Option<WebOrigin> = environment.optional_parsed("PUBLIC_URL")?;
    let mut text = String::new();
    for provider in registry.iter() {
        section(&mut text, provider, public.as_ref());
    }
    if text.is_empty() {
        "no provider is enabled: set AUTH_GOOGLE_ENABLED, AUTH_MICROSOFT_ENABLED or AUTH_OIDC_<NAME>_ISSUER\n"
            .clone_into(&mut text);
    }
    Ok(text)
}

/// Appends the lines of one provider. The results of `writeln!` are ignored because
/// writing to a `String` cannot fail.
fn section(text: &mut String, provider: &Provider, public: Option<&WebOrigin>) {
    let place = match provider.kind() {
        ProviderKind::Google => {
            "Google Cloud console: APIs & Services, Credentials, the OAuth client, \"Authorized redirect URIs\""
        }
        ProviderKind::Microsoft => {
            "Microsoft Entra admin center: App registrations, Authentication, platform \"Web\", \"Redirect URIs\""
        }
        ProviderKind::Oidc => "the client's redirect URIs at the provider",
    };
    let _ = writeln!(
        text,
        "{} ({})\n  {place}:",
        provider.label(),
        provider.name()
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
    if provider.kind() == ProviderKind::Google {
        let _ = writeln!(text, "  \"Authorized JavaScript origins\":");
    } else {
        let _ = writeln!(text, "  origins, if the provider asks for them:");
    }
    for origin in origins {
        let _ = writeln!(text, "    {origin}");
    }
    if provider.kind() == ProviderKind::Microsoft {
        let _ = writeln!(
            text,
            "  Token configuration: add the optional claims `email` and `xms_edov` to the ID token;\n  \
             without `xms_edov` addresses do not count as verified and nobody can join a workspace."
        );
    }
    text.push('\n');
}
