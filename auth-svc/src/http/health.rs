//! `/healthz` of the public listener (R15), described. Whether the service can
//! serve and which build it is are for the operator: `HEALTH_LISTEN`.

use actix_web::HttpResponse;
use latchkey_service::health;

use crate::http::router::Routes;

/// Adds the route.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_alive, alive);
}

/// The process lives.
///
/// The answer is constant and asks nothing of database, broker or providers.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "Alive", body = serde_json::Value)))]
async fn alive() -> HttpResponse {
    health::alive().await
}
