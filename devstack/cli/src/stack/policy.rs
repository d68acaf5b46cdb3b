//! The policies of this stack's gRPC services.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Name of the client that the policies allow.
pub(super) const CLIENT: &str = "development-client";
/// Name of a client with a valid certificate that no policy allows.
pub(super) const STRANGER: &str = "development-stranger";

/// Name of auth-svc as a client.
pub(super) const PAGES: &str = "auth-svc";

/// A policy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// The callers of refresh-svc.
    Tokens,
    /// The callers of sync-svc.
    Accounts,
}

impl Policy {
    /// Writes the policy file and returns its path.
    pub(super) fn write(self, directory: &Path) -> anyhow::Result<PathBuf> {
        let file = directory.join(match self {
            Self::Tokens => "policy.toml",
            Self::Accounts => "policy-accounts.toml",
        });
        std::fs::write(&file, self.text()).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    fn text(self) -> String {
        let (service, purpose, methods) = match self {
            Self::Tokens => (
                "refresh-svc",
                "People disconnect their own accounts on auth-svc's pages.",
                &["RevokeAccount"][..],
            ),
            Self::Accounts => (
                "sync-svc",
                "auth-svc's pages show people their own accounts.",
                &["ListAccounts", "GetAccount", "StartChannelSync"][..],
            ),
        };
        let mut everywhere = "providers = \"*\"\nworkspaces = \"*\"\n".to_owned();
        if self == Self::Tokens {
            everywhere.push_str("scopes = \"*\"\n");
        }
        format!(
            "# Callers of {service}. A change takes effect within a second.\n\
             # See docs/policy.md.\n\
             [[rule]]\n\
             name = \"development\"\n\
             callers = [\"{CLIENT}\"]\n\
             methods = \"*\"\n\
             {everywhere}\n\
             # {purpose}\n\
             [[rule]]\n\
             name = \"pages\"\n\
             callers = [\"{PAGES}\"]\n\
             methods = {methods:?}\n\
             {everywhere}"
        )
    }
}
