//! `/healthz`, `/readyz` and `/version` (R15), described.

use actix_web::{HttpResponse, web};
use latchkey_service::BuildInfo;
use latchkey_service::health::{self, Readiness};

use crate::http::routes::Routes;

/// Adds the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_alive, alive);
    routes.add(__path_ready, ready);
    routes.add(__path_version, version);
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "Alive", body = serde_json::Value)))]
async fn alive() -> HttpResponse {
    health::alive().await
}

/// The service can serve: which check holds and which does not.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "Ready", body = serde_json::Value),
    (status = 503, description = "A required check fails", body = serde_json::Value)))]
async fn ready(readiness: web::Data<Readiness>) -> HttpResponse {
    health::ready(readiness).await
}

/// Version, commit and time of the running build.
#[utoipa::path(get, path = "/version", tag = "health",
    responses((status = 200, description = "The running build", body = serde_json::Value)))]
async fn version(build: web::Data<BuildInfo>) -> HttpResponse {
    health::version(build).await
}
