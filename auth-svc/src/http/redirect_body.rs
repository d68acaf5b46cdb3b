//! The body of a redirect (RFC 9110 section 15.4): a note with the address. Operators
//! search it with `curl -v … | grep Location`, which does not see headers.

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use actix_web::middleware::Next;

/// Middleware that adds the note to redirects without a body.
///
/// # Errors
/// Returns the error of the handler.
pub async fn redirect_body<B: MessageBody>(
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
mod tests;
