//! The body of a redirect (RFC 9110 section 15.4): a note that names the address.
//! Operators look for it with `curl -v … | grep Location`, which sees no headers.

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use actix_web::middleware::Next;

/// Gives each redirect that has no body the note.
///
/// # Errors
/// Those of the handler.
pub async fn redirect_note<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, String>>, Error> {
    let response = next.call(request).await?;
    let Some(note) = note(&response) else {
        return Ok(response.map_body(|_, body| EitherBody::left(body)));
    };
    Ok(response.map_body(|head, _| {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        head.headers_mut().insert(CONTENT_TYPE, plain);
        EitherBody::right(note)
    }))
}

fn note<B: MessageBody>(response: &ServiceResponse<B>) -> Option<String> {
    let leads_on = response.status().is_redirection() && response.response().body().size().is_eof();
    let location = response.headers().get(LOCATION).filter(|_| leads_on)?;
    Some(format!("Location: {}\n", location.to_str().ok()?))
}

#[cfg(test)]
mod tests {
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
            .wrap(from_fn(redirect_note))
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
}
