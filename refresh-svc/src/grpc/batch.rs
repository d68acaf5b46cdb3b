//! Many tokens in one call.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use latchkey_proto::token::access_token_result::Result as Outcome;
use latchkey_proto::token::{AccessToken, AccessTokenResult, ErrorStatus, GetAccessTokenRequest};
use prost::Message as _;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::status::{invalid, status};
use crate::engine::EngineError;

/// Requests per call.
const MAX_REQUESTS: usize = 100;

/// Clients accept messages of 4 MiB by default.
const MAX_ANSWER_BYTES: usize = 3 * 1024 * 1024;

/// After the last token that arrived, the remaining ones are waited for this long, or as
/// long as that one took.
const REMAINING_TIMEOUT: Duration = Duration::from_secs(3);

/// Answers each request separately, so that a slow or failing one does not affect the
/// others. A request that is not answered by the caller's deadline, or long after the
/// others, is answered `STILL_REFRESHING`; its refresh continues.
pub(super) async fn each<F>(
    requests: Vec<GetAccessTokenRequest>,
    limit: Duration,
    get: impl Fn(GetAccessTokenRequest) -> F,
) -> Result<Vec<AccessTokenResult>, Status>
where
    F: Future<Output = Result<AccessToken, Status>>,
{
    if requests.len() > MAX_REQUESTS {
        return Err(invalid("requests", &"must have at most 100 entries"));
    }
    let begun = Instant::now();
    let deadline = begun + limit;
    let mut answers: Vec<Option<Result<AccessToken, Status>>> = Vec::new();
    answers.resize_with(requests.len(), || None);
    let mut asked: FuturesUnordered<_> = requests
        .into_iter()
        .zip(&mut answers)
        .map(|(request, place)| {
            let answer = get(request);
            async {
                let answer = answer.await;
                let is_token = answer.is_ok();
                *place = Some(answer);
                is_token
            }
        })
        .collect();
    let mut until = deadline;
    while let Ok(Some(is_token)) = timeout_at(until, asked.next()).await {
        if is_token {
            until = deadline.min(Instant::now() + begun.elapsed().max(REMAINING_TIMEOUT));
        }
    }
    drop(asked);
    Ok(within_one_message(answers.into_iter().map(result)))
}

/// Tokens that do not fit into one message are answered `STILL_REFRESHING`, so that the
/// caller requests them again.
fn within_one_message(results: impl Iterator<Item = AccessTokenResult>) -> Vec<AccessTokenResult> {
    let mut room = MAX_ANSWER_BYTES;
    results
        .map(|answer| match room.checked_sub(answer.encoded_len()) {
            Some(left) => {
                room = left;
                answer
            }
            None => result(None),
        })
        .collect()
}

fn result(answer: Option<Result<AccessToken, Status>>) -> AccessTokenResult {
    let answer = answer.unwrap_or_else(|| Err(status(&EngineError::StillRefreshing)));
    AccessTokenResult {
        result: Some(match answer {
            Ok(token) => Outcome::Token(token),
            Err(status) => Outcome::Error(error(&status)),
        }),
    }
}

/// The status as a separate call would carry it.
fn error(status: &Status) -> ErrorStatus {
    // `grpc-status-details-bin` is a `google.rpc.Status`, and so is this.
    ErrorStatus::decode(status.details()).unwrap_or_else(|_| ErrorStatus {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}
