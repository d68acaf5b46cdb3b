//! CORS for front ends on other origins: only configured origins may call, and they may
//! send the browser's cookies (Fetch standard, section 3.3).

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use latchkey_config::WebOrigin;
use url::Url;

use crate::http::same_site;
use crate::state::State;

/// Returns the `Origin` of the request if it is an origin of this deployment.
pub fn trusted_origin(state: &State, request: &HttpRequest) -> Option<WebOrigin> {
    let url = Url::parse(request.headers().get(ORIGIN)?.to_str().ok()?).ok()?;
    state.config.returns.trusts(&url).then_some(())?;
    WebOrigin::of(&url)
}

/// Returns `true` if front ends on other origins may call this path.
fn is_cors_path(path: &str) -> bool {
    matches!(
        path,
        "/auth/me"
            | "/auth/token"
            | "/auth/sessions"
            | "/auth/sign-out"
            | "/auth/sign-out-everywhere"
    ) || path.starts_with("/auth/sessions/")
        || path.starts_with("/auth/workspace/")
}

/// Returns the value of `Access-Control-Allow-Origin` if the caller is a configured origin.
fn allowed_origin(request: &HttpRequest) -> Option<HeaderValue> {
    let state = request.app_data::<web::Data<State>>()?;
    HeaderValue::from_str(&trusted_origin(state, request)?.to_string()).ok()
}

fn insert_headers(headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Adds the CORS headers to a response that was made before [`cors`] ran. Without them
/// a front end cannot tell the response from a network failure.
pub fn add_headers(request: &HttpRequest, response: &mut HttpResponse) {
    if is_cors_path(request.path()) {
        insert_headers(response.headers_mut(), allowed_origin(request).as_ref());
    }
}

/// Middleware that answers preflight requests and adds the CORS headers to responses
/// for configured origins.
///
/// # Errors
/// Returns the error of the handler.
pub async fn cors<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if !is_cors_path(request.path()) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let origin = allowed_origin(request.request());
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if preflight && origin.is_none() {
        same_site::log_foreign(request.request());
    }
    let mut response = if preflight {
        let answer = HttpResponse::NoContent().finish();
        request.into_response(answer).map_into_right_body()
    } else {
        next.call(request).await?.map_into_left_body()
    };
    let headers = response.headers_mut();
    insert_headers(headers, origin.as_ref());
    if preflight && origin.is_some() {
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
            (
                ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Authorization, Content-Type",
            ),
            (ACCESS_CONTROL_MAX_AGE, "600"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}
