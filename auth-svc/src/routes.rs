//! The one list of routes, and `/openapi.json`, which describes them.

use std::sync::LazyLock;

use actix_web::{HttpResponse, web};
use utoipa::openapi::OpenApi;

use crate::account::{connections, members as members_page, overview, sessions};
use crate::http::router::{Routes, Statuses};
use crate::http::{health, static_files};
use crate::login::{client_jwks, review_page, sign_in_page, welcome_page};
use crate::workspace::{custom_domain, domains, invitations, members, verification_link};
use crate::{login, session};

/// Registers every route.
pub fn register(config: &mut web::ServiceConfig) {
    let mut routes = Routes::registering(config);
    add_all(&mut routes);
    routes.refuse_other_methods();
}

fn add_all(routes: &mut Routes<'_>) {
    health::routes(routes);
    routes.add(__path_openapi, openapi);
    static_files::routes(routes);
    login::routes::routes(routes);
    client_jwks::routes(routes);
    session::routes::routes(routes);
    domains::routes(routes);
    invitations::routes(routes);
    custom_domain::routes(routes);
    members::routes(routes);
    verification_link::routes(routes);
    sign_in_page::routes(routes);
    overview::routes(routes);
    review_page::routes(routes);
    welcome_page::routes(routes);
    connections::routes(routes);
    sessions::routes(routes);
    members_page::routes(routes);
}

/// The description as JSON. The structure that it is made of has megabytes, and is dropped at once.
static DESCRIPTION: LazyLock<Option<web::Bytes>> = LazyLock::new(|| {
    let json = serde_json::to_vec(&describe()).ok()?;
    Some(json.into())
});

fn describe() -> OpenApi {
    let mut routes = Routes::describing();
    add_all(&mut routes);
    routes.into_openapi()
}

/// Lists the statuses of every route, for the metrics.
pub fn statuses() -> Statuses {
    let mut routes = Routes::listing_statuses();
    add_all(&mut routes);
    routes.into_statuses()
}

/// The OpenAPI description of this service.
#[utoipa::path(get, path = "/openapi.json", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
async fn openapi() -> HttpResponse {
    // In a thread that does nothing else, so that the allocator returns the megabytes to the system:
    // in the memory of a worker, what is allocated meanwhile would keep them.
    match web::block(|| DESCRIPTION.clone()).await {
        Ok(Some(json)) => HttpResponse::Ok()
            .insert_header(("Cache-Control", "public, max-age=3600"))
            .content_type("application/json")
            .body(json),
        _ => HttpResponse::InternalServerError().finish(),
    }
}
