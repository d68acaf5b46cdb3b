//! Identifies the running build (R15).

use serde::Serialize;

/// The response of `/version`.
#[derive(Debug, Clone, Serialize)]
pub struct BuildInfo {
    /// Name of the service.
    pub service: &'static str,
    /// Version of the workspace.
    pub version: &'static str,
    /// Full git commit, or `unknown`.
    pub git_commit: &'static str,
    /// `SOURCE_DATE_EPOCH` at the build, else the time of the commit, else the time of the build; in
    /// seconds since 1970, UTC.
    pub build_unix_time: u64,
}

impl BuildInfo {
    /// The running build of the service `service`.
    pub fn of(service: &'static str) -> Self {
        Self {
            service,
            version: env!("CARGO_PKG_VERSION"),
            git_commit: env!("LATCHKEY_GIT_COMMIT"),
            build_unix_time: env!("LATCHKEY_BUILD_UNIX_TIME").parse().unwrap_or(0),
        }
    }
}
