//! Answers 429 to an address or a flow that asks too often.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse, web};

use crate::http::cors;
use crate::http::problem::{Explanation, Next as NextStep};
use crate::http::rate_limit::TooOften;
use crate::login::next_steps::{Ways, problem_with};
use crate::state::State;

/// The answer to who asked too often.
pub fn explanation(wait: TooOften) -> Explanation {
    Explanation {
        status: StatusCode::TOO_MANY_REQUESTS,
        code: "too_many_requests",
        title: "Too many requests",
        text: format!(
            "Your network or this sign-in asked too often. Nothing was changed. Please try again \
             in {} seconds.",
            wait.seconds()
        ),
        next: NextStep::Again,
    }
}

/// Refuses an address that asks too often. Probes are not counted: they come
/// from where the load balancer's traffic may come from, too.
///
/// # Errors
/// Those of the handler.
pub async fn limit<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let probe = request.path() == "/healthz";
    let refused = request
        .app_data::<web::Data<State>>()
        .filter(|_| !probe)
        .and_then(|state| state.limits.address(&request).err());
    let Some(wait) = refused else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    tracing::warn!(
        error.code = "too_many_requests",
        outcome = "refused",
        "an address asks too often"
    );
    let ways = Ways::of_request(request.request(), None);
    let mut response = refusal(request.request(), wait, &ways);
    cors::add_headers(request.request(), &mut response);
    Ok(request.into_response(response).map_into_right_body())
}

/// 429 with `Retry-After`.
pub fn refusal(request: &HttpRequest, wait: TooOften, ways: &Ways) -> HttpResponse {
    let mut response = problem_with(request, &explanation(wait), ways);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(wait.seconds()));
    response
}
