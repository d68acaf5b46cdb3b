//! The provider that a sign-in uses.

use latchkey_demo_provider::Flavour;

use crate::Stack;

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
