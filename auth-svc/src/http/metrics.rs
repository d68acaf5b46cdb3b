//! What `/metrics` tells of requests and sign-ins. No person, no account and
//! nothing else that a stranger can choose is ever a label.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use latchkey_domain::ProviderName;
use metrics::{counter, histogram};

use crate::state::State;

/// Counts a request by its route and the status that it was answered with.
///
/// # Errors
/// Those of the handler.
pub async fn count<B: MessageBody>(
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

/// Counts a sign-in or a connection: `signed_in`, `connected`, `consent_needed`,
/// or the code of the refusal.
pub fn sign_in(state: &State, provider: &ProviderName, outcome: &'static str) {
    let known = state.providers.get(provider).is_some();
    let provider = known.then(|| provider.to_string());
    let provider = provider.unwrap_or_else(|| "unknown".to_owned());
    counter!("latchkey_sign_ins_total", "provider" => provider, "outcome" => outcome).increment(1);
}
