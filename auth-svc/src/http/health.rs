//! `/healthz` of the public listener (R15). Readiness and the version are for the operator,
//! on `HEALTH_LISTEN`.

use actix_web::HttpResponse;
use latchkey_service::health;
use utoipa::ToSchema;

use crate::http::router::Routes;

/// Adds the route.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_alive, alive);
}

/// The process is alive.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not constructed")]
struct Alive {
    /// Always `alive`.
    status: String,
}

/// The process is alive.
///
/// The response is constant and does not depend on the database, the broker or the
/// providers.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "Alive", body = Alive)))]
async fn alive() -> HttpResponse {
    health::alive().await
}
