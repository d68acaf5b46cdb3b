//! Who may ask the services of this stack.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Name of the client that may.
pub(super) const CLIENT: &str = "development-client";
/// Name of one with a good certificate that may not.
pub(super) const STRANGER: &str = "development-stranger";

/// Name of auth-svc as a client.
pub(super) const PAGES: &str = "auth-svc";

/// Who may ask sync-svc.
pub(super) fn account_callers() -> String {
    format!("{PAGES}=ListAccounts+GetAccount+StartChannelSync,{CLIENT}")
}

/// Writes refresh-svc's policy and answers where it is.
pub(super) fn write(directory: &Path) -> anyhow::Result<PathBuf> {
    let file = directory.join("policy.toml");
    let text = format!(
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
    );
    std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    Ok(file)
}
