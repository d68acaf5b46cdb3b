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

/// Requests in one call.
const MAX_REQUESTS: usize = 100;

/// Clients take messages of 4 MiB by default.
const MAX_ANSWER_BYTES: usize = 3 * 1024 * 1024;

/// The slow ones are waited for this long after the last token that came, or as
/// long as that one took.
const REMAINING_TIMEOUT: Duration = Duration::from_secs(3);

/// Answers each by itself: a slow or failing one takes nothing from the others.
/// One that is not answered by the caller's deadline, or long after the others,
/// is answered `STILL_REFRESHING`: its refresh goes on.
pub(super) async fn each<F>(
    requests: Vec<GetAccessTokenRequest>,
    limit: Duration,
    get: impl Fn(GetAccessTokenRequest) -> F,
) -> Result<Vec<AccessTokenResult>, Status>
where
    F: Future<Output = Result<AccessToken, Status>>,
{
    if requests.len() > MAX_REQUESTS {
        return Err(invalid("requests", &"are more than 100"));
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

/// What does not fit into one message is asked for once more, as what was not refreshed
/// in time.
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

/// A status as a call of its own would carry it.
fn error(status: &Status) -> ErrorStatus {
    // `grpc-status-details-bin` is a `google.rpc.Status`, and so is this.
    ErrorStatus::decode(status.details()).unwrap_or_else(|_| ErrorStatus {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}
