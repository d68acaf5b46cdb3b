//! One call to the service.

use std::time::Duration;

use latchkey_domain::Clock;
use latchkey_proto::token as proto;
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::cache::{FetchJob, Outcome};
use crate::replicas::Replicas;
use crate::settings::Settings;
use crate::status::token_error;
use crate::token::{Provenance, Token};

/// Requests a token, or one that is newer than a refused one.
pub(crate) async fn fetch(
    replicas: &Replicas,
    job: &FetchJob,
    limit: Duration,
    traceparent: Option<String>,
    clock: &dyn Clock,
) -> Outcome {
    let needs = &job.pending.needs;
    let account = Some(job.account.selector());
    let traceparent = traceparent.as_deref();
    let answer = match needs.newer_than {
        None => {
            let message = proto::GetAccessTokenRequest {
                account,
                min_remaining: prost_types::Duration::try_from(needs.min_remaining).ok(),
                required_scopes: needs.scopes.to_vec(),
            };
            replicas
                .call(|mut service| {
                    let request = request(message.clone(), limit, traceparent);
                    async move { service.get_access_token(request).await }
                })
                .await
                .map(|answer| answer.token)
        }
        Some(refused_version) => {
            let message = proto::RefreshAccessTokenRequest {
                account,
                refused_version,
                claims: String::new(),
            };
            replicas
                .call(|mut service| {
                    let request = request(message.clone(), limit, traceparent);
                    async move { service.refresh_access_token(request).await }
                })
                .await
                .map(|answer| answer.token)
        }
    };
    let token = answer.map_err(|status| token_error(&status))?;
    let provenance = Provenance {
        asked_as: job.account.clone(),
        // A forced refresh has no minimum.
        asked_minimum: match needs.newer_than {
            None => needs.min_remaining,
            Some(_) => Duration::ZERO,
        },
        replacement: needs.newer_than.is_some(),
        received_at: clock.now(),
    };
    Token::from_answer(token, provenance)
}

/// The caller's trace, read before the fetch is moved to another task.
pub(crate) fn traceparent(settings: &Settings) -> Option<String> {
    settings.traceparent.as_ref().and_then(|current| current())
}

/// A request with its deadline (`grpc-timeout`) and trace.
pub(crate) fn request<T>(message: T, limit: Duration, traceparent: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    if let Some(value) = traceparent.and_then(|text| MetadataValue::try_from(text).ok()) {
        request.metadata_mut().insert("traceparent", value);
    }
    request
}
