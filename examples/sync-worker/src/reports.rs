//! Reports of the progress to sync-svc.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use latchkey_proto::account::ReportSyncRequest;
use latchkey_proto::account::account_service_client::AccountServiceClient;
use latchkey_proto::account::report_sync_request::{Completed, Failed, Report, StageEntered};
use latchkey_proto::events::{ChannelKind, SyncJob};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::arguments::Arguments;

/// Limit of a call.
const WITHIN: Duration = Duration::from_secs(10);

/// A step of a sync.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    /// The list of what is new is fetched.
    ListFetch,
    /// The items of the list are imported.
    Import,
}

impl Stage {
    fn name(self, kind: ChannelKind) -> &'static str {
        match (self, kind) {
            (Self::ListFetch, ChannelKind::Calendar) => "CALENDAR_EVENT_LIST_FETCH_ONGOING",
            (Self::Import, ChannelKind::Calendar) => "CALENDAR_EVENTS_IMPORT_ONGOING",
            (Self::ListFetch, _) => "MESSAGE_LIST_FETCH_ONGOING",
            (Self::Import, _) => "MESSAGES_IMPORT_ONGOING",
        }
    }
}

/// Why a report was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// The channel was started again, stopped or deleted: the job has no effect any more.
    #[error("the job is out of date: {0}")]
    OutOfDate(String),
    /// sync-svc does not answer, or does not let this worker report.
    #[error("the report was not stored: {0}")]
    NotStored(String),
}

/// The client of sync-svc.
#[derive(Clone)]
pub(crate) struct Accounts(AccountServiceClient<Channel>);

impl Accounts {
    /// Connects at the first call.
    pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&arguments.authority)?))
            .identity(Identity::from_pem(
                read(&arguments.certificate)?,
                read(&arguments.key)?,
            ));
        let channel = Endpoint::from_shared(arguments.account_service.clone())?
            .tls_config(tls)?
            .connect_timeout(WITHIN)
            .timeout(WITHIN)
            .connect_lazy();
        Ok(Self(AccountServiceClient::new(channel)))
    }

    /// The reports of one job.
    pub(crate) fn of<'a>(&self, job: &'a SyncJob) -> Reports<'a> {
        Reports {
            accounts: self.0.clone(),
            job,
        }
    }
}

/// The reports of one job. A worker that works for long repeats its stage at least every half hour.
pub(crate) struct Reports<'a> {
    accounts: AccountServiceClient<Channel>,
    job: &'a SyncJob,
}

impl Reports<'_> {
    /// The worker begins a step.
    pub(crate) async fn entered(&mut self, stage: Stage) -> Result<(), ReportError> {
        let sync_stage = stage.name(self.job.kind()).to_owned();
        let entered = StageEntered { sync_stage };
        self.report(Report::StageEntered(entered)).await
    }

    /// The sync succeeded up to this cursor.
    pub(crate) async fn completed(&mut self, sync_cursor: String) -> Result<(), ReportError> {
        self.report(Report::Completed(Completed { sync_cursor }))
            .await
    }

    /// The sync failed.
    pub(crate) async fn failed(&mut self, failed: Failed) -> Result<(), ReportError> {
        self.report(Report::Failed(failed)).await
    }

    async fn report(&mut self, report: Report) -> Result<(), ReportError> {
        let request = ReportSyncRequest {
            channel_id: self.job.channel_id.clone(),
            job_id: self.job.job_id.clone(),
            generation: self.job.generation,
            report: Some(report),
        };
        match self.accounts.report_sync(request).await {
            Ok(_) => Ok(()),
            // STALE_JOB, STATE_REFUSED and CHANNEL_NOT_FOUND.
            Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::NotFound) => {
                Err(ReportError::OutOfDate(status.message().to_owned()))
            }
            Err(status) => Err(ReportError::NotStored(format!(
                "{}: {}",
                status.code(),
                status.message()
            ))),
        }
    }
}
