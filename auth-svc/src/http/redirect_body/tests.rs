use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, test, web};

use super::*;

const TO: (&str, &str) = ("location", "https://a.example/?b=<c>");

async fn bare() -> HttpResponse {
    HttpResponse::Found().insert_header(TO).finish()
}

async fn page() -> HttpResponse {
    HttpResponse::SeeOther().insert_header(TO).body("page")
}

#[actix_web::test]
async fn a_redirect_without_a_body_names_its_address_and_nothing_else_changes() {
    let app = App::new()
        .wrap(from_fn(redirect_body))
        .route("/bare", web::get().to(bare))
        .route("/page", web::get().to(page))
        .route(
            "/same",
            web::get().to(async || HttpResponse::NotModified().finish()),
        )
        .route("/fine", web::get().to(async || HttpResponse::Ok().finish()));
    let app = test::init_service(app).await;
    for (path, body) in [
        ("/bare", "Location: https://a.example/?b=<c>\n"),
        ("/page", "page"),
        ("/same", ""),
        ("/fine", ""),
    ] {
        let request = test::TestRequest::get().uri(path).to_request();
        let answer = test::call_service(&app, request).await;
        let plain = answer.headers().get(CONTENT_TYPE).cloned();
        let expected = (path == "/bare").then_some("text/plain; charset=utf-8");
        assert_eq!(plain.as_ref().and_then(|kind| kind.to_str().ok()), expected);
        assert_eq!(test::read_body(answer).await, body, "{path}");
    }
}
