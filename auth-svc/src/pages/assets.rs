//! Stylesheet and icon: part of the program, named after their content, so
//! that browsers keep them for good and never keep an old one.

use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::http::routes::Routes;
use crate::random::sha256;

/// A file that browsers may keep for good.
#[derive(Debug)]
pub struct Asset {
    /// `/auth/assets/latchkey.<hash>.css`
    pub path: String,
    content: &'static str,
    content_type: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, content: &'static str, content_type: &'static str) -> Self {
        // Base64url: as good in an address as hexadecimal, and shorter.
        let hash: String = URL_SAFE_NO_PAD
            .encode(sha256(content))
            .chars()
            .take(12)
            .collect();
        Self {
            path: format!("/auth/assets/{name}.{hash}.{extension}"),
            content,
            content_type,
        }
    }
}

/// The one stylesheet.
pub static STYLESHEET: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "latchkey",
        "css",
        include_str!("../../templates/latchkey.css"),
        "text/css; charset=utf-8",
    )
});

/// The icon of the browser's tab.
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "latchkey",
        "svg",
        include_str!("../../templates/latchkey.svg"),
        "image/svg+xml",
    )
});

/// Adds the routes.
pub(super) fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_asset, asset);
}

/// A file of the pages.
#[utoipa::path(get, path = "/auth/assets/{name}", tag = "pages", operation_id = "asset", params(("name" = String, Path, description = "Name with the hash of its content")), responses(
    (status = 200, description = "A file that never changes", content_type = "text/css", body = String)))]
async fn asset(request: HttpRequest, _name: web::Path<String>) -> HttpResponse {
    let found = [&*STYLESHEET, &*ICON]
        .into_iter()
        .find(|asset| asset.path == request.path());
    match found {
        Some(asset) => HttpResponse::Ok()
            .content_type(asset.content_type)
            .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .body(asset.content),
        None => super::problem(
            &request,
            &super::Explanation {
                status: StatusCode::NOT_FOUND,
                code: "asset_unknown",
                title: "This file is gone",
                text: "It belonged to another version. Please load the page again.".to_owned(),
                next: super::Next::Home,
            },
            None,
        ),
    }
}
