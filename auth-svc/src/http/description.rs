//! What the surface says of itself: `/openapi.json` for programs, `/robots.txt`
//! for search engines.

use actix_web::HttpResponse;
use utoipa::ToSchema;

use crate::http::routes::{Routes, describe};

/// A refusal, for who sends `Accept: application/json`.
#[derive(Debug, ToSchema)]
pub struct Problem {
    /// What is refused.
    pub error: ProblemError,
}

/// What is refused, and why.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ProblemError {
    /// Stable code for programs.
    #[schema(example = "flow_unknown")]
    pub code: String,
    /// What happened and what to do, for a person.
    pub message: String,
    /// Number under which the log has more.
    pub trace_id: Option<String>,
}

/// Adds the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_openapi, openapi);
    routes.add(__path_robots, robots);
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
async fn openapi() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "public, max-age=3600"))
        .json(describe())
}

/// Nothing here is for a search engine.
#[utoipa::path(get, path = "/robots.txt", tag = "about",
    responses((status = 200, description = "Everything is disallowed", content_type = "text/plain", body = String)))]
async fn robots() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(("Cache-Control", "public, max-age=86400"))
        .body("User-agent: *\nDisallow: /\n")
}
