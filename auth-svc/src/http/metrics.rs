//! Metrics of requests and sign-ins. No label has a value that a person or a client can
//! choose.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use latchkey_domain::ProviderName;
use metrics::{counter, histogram};

use crate::state::State;

/// Middleware that counts a request by its route and response status.
///
/// # Errors
/// Returns the error of the handler.
pub async fn count_request<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let route = request.match_pattern();
    let route = route.unwrap_or_else(|| "unknown".to_owned());
    let started = Instant::now();
    let answered = next.call(request).await;
    let status = match &answered {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    histogram!("latchkey_http_request_seconds", "route" => route.clone()).record(started.elapsed());
    let status = status.as_str().to_owned();
    counter!("latchkey_http_requests_total", "route" => route, "status" => status).increment(1);
    answered
}

/// Counts a sign-in or a connection by its outcome: `signed_in`, `connected`,
/// `consent_needed`, or the error code.
pub fn count_sign_in(state: &State, provider: &ProviderName, outcome: &'static str) {
    let known = state.providers.get(provider).is_some();
    let provider = known.then(|| provider.to_string());
    let provider = provider.unwrap_or_else(|| "unknown".to_owned());
    counter!("latchkey_sign_ins_total", "provider" => provider, "outcome" => outcome).increment(1);
}
