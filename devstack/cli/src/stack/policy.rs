//! Who may ask the services of this stack.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Name of the client that may.
pub(super) const CLIENT: &str = "development-client";
/// Name of one with a good certificate that may not.
pub(super) const STRANGER: &str = "development-stranger";

/// Name of auth-svc as a client.
pub(super) const PAGES: &str = "auth-svc";

/// A policy in a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Who may ask refresh-svc for tokens.
    Tokens,
    /// Who may ask sync-svc for accounts.
    Accounts,
}

impl Policy {
    /// Writes it and answers where it is.
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
        "# Who may ask refresh-svc for tokens; edited, it is in force a second later.\n\
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
        "# Who may ask sync-svc for accounts; edited, it is in force a second later.\n\
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
