//! Many tokens in one call.

use std::time::Duration;

use futures::future::join_all;
use latchkey_proto::token::access_token_result::Result as Outcome;
use latchkey_proto::token::{AccessToken, AccessTokenResult, ErrorStatus, GetAccessTokenRequest};
use prost::Message as _;
use tonic::Status;

use super::status::{invalid, status};
use crate::engine::EngineError;

/// Requests in one call.
const MOST: usize = 100;

/// Answers each by itself: a slow or failing one takes nothing from the others.
pub(super) async fn each<F>(
    requests: Vec<GetAccessTokenRequest>,
    limit: Duration,
    get: impl Fn(GetAccessTokenRequest) -> F,
) -> Result<Vec<AccessTokenResult>, Status>
where
    F: Future<Output = Result<AccessToken, Status>>,
{
    if requests.len() > MOST {
        return Err(invalid("requests", &"are more than 100"));
    }
    let answers = requests.into_iter().map(|request| {
        let answer = tokio::time::timeout(limit, get(request));
        async {
            let answer = answer
                .await
                .unwrap_or_else(|_| Err(status(&EngineError::StillRefreshing)));
            AccessTokenResult {
                result: Some(match answer {
                    Ok(token) => Outcome::Token(token),
                    Err(status) => Outcome::Error(error(&status)),
                }),
            }
        }
    });
    Ok(join_all(answers).await)
}

/// A status as a call of its own would carry it.
fn error(status: &Status) -> ErrorStatus {
    // `grpc-status-details-bin` is a `google.rpc.Status`, and so is this.
    ErrorStatus::decode(status.details()).unwrap_or_else(|_| ErrorStatus {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}
