//! Conversions between the messages of the contract and the internal types.

use latchkey_domain::JobId;
use latchkey_proto::account::report_sync_request::{Failed, Report};
use latchkey_proto::account::{self, ChannelKind, FailureKind, ReportSyncRequest};
use latchkey_proto::{duration_of, timestamp};

use super::status::RpcError;
use crate::channel::{Failure, Input, Kind, Stage, SyncStatus};
use crate::store::account::AccountView;
use crate::store::channel::ChannelRow;
use crate::sync_reports::StartedJob;

/// Longest detail of a failure; it is shown to people.
const DETAIL_MAX_CHARS: usize = 500;
/// Longest cursor; those of providers are shorter.
const CURSOR_MAX_BYTES: usize = 4_096;

pub(super) fn channel(row: &ChannelRow) -> account::Channel {
    let state = &row.state;
    account::Channel {
        id: row.id.to_string(),
        account_id: row.account_id.to_string(),
        kind: match row.kind {
            Kind::Message => ChannelKind::Message,
            Kind::Calendar => ChannelKind::Calendar,
        }
        .into(),
        sync_status: match &state.status {
            SyncStatus::NotSynced => account::SyncStatus::NotSynced,
            SyncStatus::Ongoing => account::SyncStatus::Ongoing,
            SyncStatus::Active => account::SyncStatus::Active,
            SyncStatus::FailedInsufficientPermissions => {
                account::SyncStatus::FailedInsufficientPermissions
            }
            SyncStatus::FailedUnknown => account::SyncStatus::FailedUnknown,
            SyncStatus::Other(_) => account::SyncStatus::Unspecified,
        }
        .into(),
        sync_stage: state.stage.name(row.kind).to_owned(),
        sync_stage_started_at: Some(timestamp(state.stage_started_at)),
        synced_at: state.synced_at.map(timestamp),
        sync_cursor: state.cursor.clone(),
        throttle_failure_count: state.throttle_failures,
        throttle_retry_after: state.throttle_until.map(timestamp),
        sync_job_id: if state.generation > 0 {
            JobId::first_of(row.id, state.generation).to_string()
        } else {
            String::new()
        },
        generation: state.generation,
    }
}

/// An account with its own channels among `channels`.
pub(super) fn account(view: AccountView, channels: &[ChannelRow]) -> account::Account {
    let id = view.account.id;
    account::Account {
        handle_verified: Some(view.account.handle_verified()),
        id: id.to_string(),
        workspace_id: view.account.binding.workspace.to_string(),
        user_id: view.account.binding.user.to_string(),
        provider: view.account.binding.provider.to_string(),
        handle: view.account.handle,
        granted_scopes: view.granted_scopes.unwrap_or_default(),
        auth_failed_at: view.auth_failed_at.map(timestamp),
        grant_expires_at: view.grant_expires_at.map(timestamp),
        connected_at: Some(timestamp(view.account.connected_at)),
        channels: channels
            .iter()
            .filter(|row| row.account_id == id)
            .map(channel)
            .collect(),
    }
}

/// The job that a report is about; both fields are required.
pub(super) fn started_job(request: &ReportSyncRequest) -> Result<StartedJob, RpcError> {
    if request.job_id.is_empty() {
        return Err(RpcError::invalid("job_id", "is missing"));
    }
    if request.generation < 1 {
        return Err(RpcError::invalid("generation", "is missing"));
    }
    Ok(StartedJob {
        job: request.job_id.parse().map_err(RpcError::id("job_id"))?,
        generation: request.generation,
    })
}

/// The input for the state machine of a channel of this kind.
pub(super) fn input(kind: Kind, report: Report) -> Result<Input, RpcError> {
    match report {
        Report::StageEntered(entered) => Stage::parse(kind, &entered.sync_stage)
            .map(Input::StageEntered)
            .ok_or_else(|| {
                RpcError::invalid(
                    "stage_entered.sync_stage",
                    "is not a stage of this kind of channel",
                )
            }),
        Report::Completed(completed) => {
            let cursor = completed.sync_cursor;
            if cursor.len() > CURSOR_MAX_BYTES || cursor.contains('\0') {
                return Err(RpcError::invalid(
                    "completed.sync_cursor",
                    "must have at most 4096 bytes and no NUL character",
                ));
            }
            Ok(Input::Completed(cursor))
        }
        Report::Failed(failed) => failure(&failed).map(Input::Failed),
    }
}

fn failure(failed: &Failed) -> Result<Failure, RpcError> {
    if failed.detail.chars().count() > DETAIL_MAX_CHARS {
        return Err(RpcError::invalid(
            "failed.detail",
            format!("must have at most {DETAIL_MAX_CHARS} characters"),
        ));
    }
    let detail = failed.detail.replace('\0', "");
    match failed.kind() {
        FailureKind::Unspecified => Err(RpcError::invalid("failed.kind", "is missing")),
        FailureKind::Retryable => {
            let asked = failed.retry_after.as_ref().map(duration_of);
            if asked.is_some_and(time::Duration::is_negative) {
                let problem = "must not be negative";
                return Err(RpcError::invalid("failed.retry_after", problem));
            }
            Ok(Failure::Retryable(asked, detail))
        }
        FailureKind::InsufficientPermissions => Ok(Failure::InsufficientPermissions(detail)),
        FailureKind::CursorExpired => Ok(Failure::CursorExpired(detail)),
        FailureKind::Unknown => Ok(Failure::Unknown(detail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(detail: &str, seconds: i64, nanos: i32) -> Option<String> {
        let failed = Failed {
            kind: FailureKind::Retryable.into(),
            retry_after: Some(prost_types::Duration { seconds, nanos }),
            detail: detail.to_owned(),
        };
        failure(&failed).err().map(|error| error.to_string())
    }

    #[test]
    fn a_report_beyond_a_bound_is_refused_and_not_cut() {
        assert_eq!(refusal(&"é".repeat(500), 60, 0), None);
        assert_eq!(
            refusal(&"é".repeat(501), 60, 0).as_deref(),
            Some("failed.detail: must have at most 500 characters")
        );
        assert_eq!(refusal("", i64::MAX, i32::MAX), None);
        assert_eq!(
            refusal("", i64::MIN, -1).as_deref(),
            Some("failed.retry_after: must not be negative")
        );
    }
}
