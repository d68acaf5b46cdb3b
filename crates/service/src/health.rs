//! `/healthz` (the process runs), `/readyz` (it can serve), `/version` (R15) and, on a separate
//! port, `/metrics`.

#[cfg(feature = "health-server")]
mod server;

use async_trait::async_trait;

#[cfg(feature = "health-server")]
pub use server::{Readiness, alive, metrics, ready, routes, serve, version};

/// One condition of readiness.
#[async_trait]
pub trait Check: Send + Sync {
    /// Name in the response, e.g. `database`.
    fn name(&self) -> &'static str;
    /// Succeeds while the condition holds; else the text says what is wrong.
    async fn check(&self) -> Result<(), String>;
}
