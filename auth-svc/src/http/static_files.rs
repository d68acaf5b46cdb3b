//! `/robots.txt`, and the stylesheet and icon of the pages.

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::http::assets::{ICON, STYLESHEET};
use crate::http::problem::{NextStep, Problem, ProblemDetails};
use crate::http::router::Routes;
use crate::login::next_steps::problem;

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_robots, robots);
    routes.add(__path_asset, asset);
}

/// Returns a file of the pages.
#[utoipa::path(get, path = "/auth/assets/{name}", tag = "pages", operation_id = "asset", params(("name" = String, Path, description = "Name with the hash of its content")), responses(
    (status = 200, description = "A file that never changes", content((String = "text/css"), (String = "image/svg+xml"))),
    (status = 404, description = "The file belongs to another version", body = Problem)))]
async fn asset(request: HttpRequest, _name: web::Path<String>) -> HttpResponse {
    let found = [&*STYLESHEET, &*ICON]
        .into_iter()
        .find(|asset| asset.path == request.path());
    match found {
        Some(asset) => HttpResponse::Ok()
            .content_type(asset.content_type)
            .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .body(asset.content),
        None => problem(
            &request,
            &ProblemDetails {
                status: StatusCode::NOT_FOUND,
                code: "asset_unknown",
                title: "This file is not available",
                text: "It belongs to another version of this page. Please reload the page."
                    .to_owned(),
                next: NextStep::Home,
            },
            None,
        ),
    }
}

/// Excludes all pages from search engines.
#[utoipa::path(get, path = "/robots.txt", tag = "about",
    responses((status = 200, description = "Everything is disallowed", content_type = "text/plain", body = String)))]
async fn robots() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(("Cache-Control", "public, max-age=86400"))
        .body("User-agent: *\nDisallow: /\n")
}
