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
        let (file, text) = match self {
            Self::Tokens => ("policy.toml", tokens()),
            Self::Accounts => ("policy-accounts.toml", accounts()),
        };
        let file = directory.join(file);
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(file)
    }
}

fn tokens() -> String {
    format!(
        "# Callers of refresh-svc. A change takes effect within a second.\n\
         # See docs/policy.md.\n\
         [[rule]]\n\
         name = \"development\"\n\
         callers = [\"{CLIENT}\"]\n\
         methods = \"*\"\n\
         providers = \"*\"\n\
         workspaces = \"*\"\n\
         scopes = \"*\"\n\
         \n\
         # People disconnect their own accounts on auth-svc's pages.\n\
         [[rule]]\n\
         name = \"pages\"\n\
         callers = [\"{PAGES}\"]\n\
         methods = [\"RevokeAccount\"]\n\
         providers = \"*\"\n\
         workspaces = \"*\"\n\
         scopes = \"*\"\n"
    )
}

fn accounts() -> String {
    format!(
        "# Callers of sync-svc. A change takes effect within a second.\n\
         # See docs/policy.md.\n\
         [[rule]]\n\
         name = \"development\"\n\
         callers = [\"{CLIENT}\"]\n\
         methods = \"*\"\n\
         providers = \"*\"\n\
         workspaces = \"*\"\n\
         \n\
         # auth-svc's pages show people their own accounts.\n\
         [[rule]]\n\
         name = \"pages\"\n\
         callers = [\"{PAGES}\"]\n\
         methods = [\"ListAccounts\", \"GetAccount\", \"StartChannelSync\"]\n\
         providers = \"*\"\n\
         workspaces = \"*\"\n"
    )
}
