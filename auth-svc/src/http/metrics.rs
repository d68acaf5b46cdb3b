//! Metrics of requests and sign-ins. No label has a value that a person or a client can
//! choose.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use latchkey_domain::ProviderName;
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::http::route_pattern::without_rules;
use crate::http::router::Statuses;
use crate::state::State;

/// Label of requests without a route and of sign-ins at a provider that is not configured.
const UNKNOWN: &str = "unknown";

/// Statuses that any route may answer with, also if its description does not name them.
const STATUSES: [&str; 4] = ["408", "429", "500", "503"];

/// Statuses of requests without a route.
const STATUSES_WITHOUT_ROUTE: [&str; 3] = ["400", "404", "405"];

/// The outcomes of a sign-in: the three good ones, `over` if a person reloaded a callback whose
/// flow is finished, and the error codes.
const OUTCOMES: [&str; 38] = [
    "signed_in",
    "connected",
    "consent_needed",
    "over",
    "access_denied",
    "address_missing",
    "address_not_verified",
    "authentication_not_sufficient",
    "authentication_too_old",
    "blocked_by_admin",
    "code_missing",
    "code_refused",
    "database_unavailable",
    "domain_not_allowed",
    "duplicate_parameter",
    "flow_finished",
    "flow_unknown",
    "identity_not_proven",
    "interaction_required",
    "internal",
    "invalid_parameter",
    "invitation_refused",
    "issuer_mismatch",
    "no_workspace",
    "provider_error",
    "provider_misconfigured",
    "provider_not_configured",
    "provider_unavailable",
    "query_too_long",
    "request_too_long",
    "return_location_refused",
    "session_changed",
    "signed_out_at_provider",
    "tenant_not_allowed",
    "token_too_large",
    "too_many_requests",
    "workspace_not_named",
    "workspace_unknown",
];

/// Describes the metrics and creates them with 0, for the configured providers and the routes.
pub fn create(state: &State, routes: &Statuses) {
    // In a test, nothing else installs the recorder.
    latchkey_service::metrics::install();
    describe();
    for (path, statuses) in routes {
        drop(duration(path.clone()));
        for status in statuses.iter().map(String::as_str).chain(STATUSES) {
            requests(path.clone(), status.to_owned()).increment(0);
        }
    }
    drop(duration(UNKNOWN.to_owned()));
    for status in STATUSES_WITHOUT_ROUTE.into_iter().chain(STATUSES) {
        requests(UNKNOWN.to_owned(), status.to_owned()).increment(0);
    }
    for provider in state.providers.iter() {
        flows(provider.name()).increment(0);
        create_sign_ins(provider.name().as_str());
        create_logouts(provider.name().as_str());
    }
    create_sign_ins(UNKNOWN);
}

fn describe() {
    describe_counter!(
        "latchkey_http_requests_total",
        "Requests by route and response status."
    );
    describe_histogram!(
        "latchkey_http_request_seconds",
        "Time until the response to a request, by route."
    );
    describe_counter!(
        "latchkey_sign_ins_total",
        "Sign-ins and connections that ended, by provider and outcome: signed_in, connected, \
         consent_needed, over, or the code of the refusal."
    );
    describe_counter!(
        "latchkey_logout_tokens_total",
        "Logout tokens of providers, by outcome: accepted, repeated, refused or unavailable."
    );
    describe_counter!(
        "latchkey_logout_sessions_total",
        "Sessions that logout tokens ended, by provider."
    );
    describe_counter!(
        "latchkey_flows_started_total",
        "Sign-ins and connections for which a person was sent to the provider."
    );
    describe_gauge!(
        "latchkey_flows_open",
        "Sign-ins and connections that were started within the last ten minutes and have not \
         ended. Only the sum over all replicas has a meaning."
    );
}

fn create_sign_ins(provider: &str) {
    for outcome in OUTCOMES {
        sign_ins(provider.to_owned(), outcome).increment(0);
    }
}

/// Middleware that counts a request by its route and response status.
///
/// # Errors
/// Returns the error of the handler.
pub async fn count_request<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let route = request.match_pattern();
    let route = route.map_or_else(|| UNKNOWN.to_owned(), |route| without_rules(&route));
    let started = Instant::now();
    let answered = next.call(request).await;
    let status = match &answered {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    duration(route.clone()).record(started.elapsed());
    requests(route, status.as_str().to_owned()).increment(1);
    answered
}

/// Outcomes of logout tokens.
const LOGOUT_OUTCOMES: [&str; 4] = ["accepted", "repeated", "refused", "unavailable"];

fn logout_tokens(provider: String, outcome: &'static str) -> Counter {
    counter!("latchkey_logout_tokens_total", "provider" => provider, "outcome" => outcome)
}

fn logout_sessions(provider: String) -> Counter {
    counter!("latchkey_logout_sessions_total", "provider" => provider)
}

fn create_logouts(provider: &str) {
    for outcome in LOGOUT_OUTCOMES {
        logout_tokens(provider.to_owned(), outcome).increment(0);
    }
    logout_sessions(provider.to_owned()).increment(0);
}

/// Counts a logout token by its outcome: `accepted`, `repeated`, `refused` or `unavailable`, and the
/// sessions that it ended.
pub fn count_logout_token(provider: &ProviderName, outcome: &'static str, ended: usize) {
    logout_tokens(provider.to_string(), outcome).increment(1);
    logout_sessions(provider.to_string()).increment(ended as u64);
}

/// Counts a sign-in or a connection by its outcome: `signed_in`, `connected`,
/// `consent_needed`, or the error code.
pub fn count_sign_in(state: &State, provider: &ProviderName, outcome: &'static str) {
    let known = state.providers.get(provider).is_some();
    let provider = known.then(|| provider.to_string());
    sign_ins(provider.unwrap_or_else(|| UNKNOWN.to_owned()), outcome).increment(1);
}

/// Counts a flow that was started at a configured provider.
pub fn count_flow(provider: &ProviderName) {
    flows(provider).increment(1);
}

/// Sets the number of open flows.
pub fn measure_flows(state: &State) {
    let open = state.open_flows.count(state.clock.now());
    gauge!("latchkey_flows_open").set(i32::try_from(open).unwrap_or(i32::MAX));
}

fn requests(route: String, status: String) -> Counter {
    counter!("latchkey_http_requests_total", "route" => route, "status" => status)
}

fn duration(route: String) -> Histogram {
    histogram!("latchkey_http_request_seconds", "route" => route)
}

fn sign_ins(provider: String, outcome: &'static str) -> Counter {
    counter!("latchkey_sign_ins_total", "provider" => provider, "outcome" => outcome)
}

fn flows(provider: &ProviderName) -> Counter {
    counter!("latchkey_flows_started_total", "provider" => provider.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The files that contain the error codes of a sign-in.
    const MESSAGES: [&str; 4] = [
        include_str!("../login/error_messages.rs"),
        include_str!("../login/error_messages/provider.rs"),
        include_str!("../login/error_messages/store.rs"),
        include_str!("too_many_requests.rs"),
    ];

    // R45: a counter that begins with 1 shows no increase.
    #[test]
    fn every_error_code_of_a_sign_in_is_counted_from_the_start() {
        let is_code = |text: &&str| {
            let mut characters = text.chars();
            (text.contains('_') || *text == "internal")
                && characters.all(|c| c.is_ascii_lowercase() || c == '_')
        };
        let codes: BTreeSet<&str> = MESSAGES
            .into_iter()
            .flat_map(|text| text.split('"'))
            .filter(is_code)
            .collect();
        let good = ["signed_in", "connected", "consent_needed", "over"];
        let expected: BTreeSet<&str> = codes.into_iter().chain(good).collect();
        assert_eq!(BTreeSet::from(OUTCOMES), expected);
    }
}
