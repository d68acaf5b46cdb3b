//! The response 429 to an address or a flow that makes too many requests.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse, web};

use latchkey_providers::BACKCHANNEL_LOGOUT;

use crate::http::cors;
use crate::http::problem::{NextStep, ProblemDetails};
use crate::http::rate_limit::TooManyRequests;
use crate::login::next_steps::{NextSteps, problem_with};
use crate::state::State;

/// Explains the refusal to a person.
pub fn explanation(wait: TooManyRequests) -> ProblemDetails {
    ProblemDetails {
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

/// Middleware that refuses an address that makes too many requests. Health probes are not
/// counted, because they may come from the address of a load balancer, and logout tokens are
/// counted separately, because those of a provider come from its few addresses.
///
/// # Errors
/// Returns the error of the handler.
pub async fn rate_limit<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let path = request.path();
    let exempt = path == "/healthz" || path.ends_with(BACKCHANNEL_LOGOUT);
    let refused = request
        .app_data::<web::Data<State>>()
        .filter(|_| !exempt)
        .and_then(|state| state.rate_limits.address(&request).err());
    let Some(wait) = refused else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    tracing::warn!(
        error.code = "too_many_requests",
        outcome = "refused",
        "an address makes too many requests"
    );
    let ways = NextSteps::of_request(request.request(), None);
    let mut response = refusal(request.request(), wait, &ways);
    cors::add_headers(request.request(), &mut response);
    Ok(request.into_response(response).map_into_right_body())
}

/// Builds the response 429 with `Retry-After`.
pub fn refusal(request: &HttpRequest, wait: TooManyRequests, ways: &NextSteps) -> HttpResponse {
    let mut response = problem_with(request, &explanation(wait), ways);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(wait.seconds()));
    response
}
