//! One sign-in from the browser's first request to a refreshed token. Each step is checked and
//! printed.

mod account;
mod sign_in;
mod tokens;

use std::time::{Duration, Instant};

use latchkey_demo_provider::Flavour;
use latchkey_servers::Progress;

use crate::Stack;
use crate::message_recorder::MessageRecorder;

pub use account::{Account, Channels, account_of, channels_of};
pub use sign_in::{SignIn, authorize_address, sign_in};
pub use tokens::{
    Token, get_access_token, refresh_access_token, revoke_account, selector, token_request,
};

/// The provider of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Provider name.
    pub provider: &'static str,
    /// Path at which the sign-in starts.
    pub path: &'static str,
    /// The provider that the demo provider simulates.
    pub flavour: Flavour,
}

impl Route {
    /// The demo provider as Google.
    pub const GOOGLE: Self = Self {
        provider: "google",
        path: "/auth/google",
        flavour: Flavour::Google,
    };
    /// The demo provider as Microsoft.
    pub const MICROSOFT: Self = Self {
        provider: "microsoft",
        path: "/auth/microsoft",
        flavour: Flavour::Microsoft,
    };
    /// The demo provider as a strict OpenID provider.
    pub const OIDC: Self = Self {
        provider: "demo",
        path: "/auth/oidc/demo",
        flavour: Flavour::Oidc,
    };

    /// Returns the first route whose provider is the demo provider on this stack.
    pub fn of(stack: &Stack) -> Option<Self> {
        let variables = stack.provider_environment();
        let demo = stack.demo().base_url();
        let is_demo = |variable: &str| {
            variables
                .get(variable)
                .is_some_and(|value| value.starts_with(demo))
        };
        [
            ("AUTH_GOOGLE_ISSUER", Self::GOOGLE),
            ("AUTH_MICROSOFT_AUTHORITY", Self::MICROSOFT),
            ("AUTH_OIDC_DEMO_ISSUER", Self::OIDC),
        ]
        .into_iter()
        .find(|(variable, _)| is_demo(variable))
        .map(|(_, route)| route)
    }
}

/// The person who signs in. Their address is in the workspace's domain.
const PERSON: &str = "ada";
const HANDLE: &str = "ada@acme.example";
/// Lifetime of the first token: long enough to see it before it expires, and short enough to
/// wait for.
const SHORT_LIFETIME: Duration = Duration::from_secs(8);
/// Time limit for everything that arrives over the broker.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs the walkthrough and prints a line for each step.
///
/// # Errors
/// A step fails.
pub async fn run(stack: &Stack, route: Route, progress: &Progress) -> anyhow::Result<()> {
    let begun = Instant::now();
    let report = |text: &str| {
        let seconds = begun.elapsed().as_secs_f32();
        progress(&format!("  {seconds:>5.1}s  {text}"));
    };
    let demo = stack.demo();
    let usual_lifetime = Duration::from_hours(1).as_secs();
    demo.change(|settings| settings.access_token_lifetime_s = SHORT_LIFETIME.as_secs());

    let mut recorder = MessageRecorder::bind(&stack.servers.rabbitmq.url()).await?;
    let jobs_before = account::waiting_jobs(&recorder).await?;
    sign_in::check(stack, route, PERSON, &say).await?;
    sign_in::check_event(stack, &mut recorder, HANDLE, &say).await?;
    let account = account::check(stack, route, HANDLE, &say).await?;
    account::check_jobs(&mut recorder, account.id, jobs_before, &say).await?;

    demo.change(|settings| settings.access_token_lifetime_s = usual_lifetime);
    tokens::check(stack, route, account.id, &say).await
}
