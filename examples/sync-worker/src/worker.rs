//! One job, from the token to the last report.

use latchkey_client::{AccountId, MutualTls, TokenClient};
use latchkey_proto::events::SyncJob;

use crate::arguments::Arguments;
use crate::failure::JobError;
use crate::provider::{ApiError, Apis};
use crate::reports::{Accounts, ReportError, Stage};

/// What becomes of the message of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is acknowledged: the last report was stored, or the job has no effect any more.
    Settled,
    /// It is delivered again, because a report was not stored.
    Again,
}

/// The clients of a worker, which all jobs share.
pub(crate) struct Worker {
    tokens: TokenClient,
    accounts: Accounts,
    apis: Apis,
}

impl Worker {
    pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let tls =
            MutualTls::from_files(&arguments.authority, &arguments.certificate, &arguments.key)?;
        let mut tokens = TokenClient::builder(tls);
        for address in &arguments.token_services {
            tokens = tokens.address(address);
        }
        Ok(Self {
            tokens: tokens.build()?,
            accounts: Accounts::new(arguments)?,
            apis: Apis::new(&arguments.apis)?,
        })
    }

    /// Works on a job and reports the result.
    pub(crate) async fn work(&self, job: &SyncJob) -> Outcome {
        let (channel, account) = (job.channel_id.as_str(), job.account_id.as_str());
        match self.sync(job).await {
            Ok(()) => Outcome::Settled,
            Err(ReportError::OutOfDate(why)) => {
                tracing::info!(channel, account, why, "the job is dropped");
                Outcome::Settled
            }
            Err(ReportError::NotStored(why)) => {
                tracing::error!(channel, account, why, "the job is tried again");
                Outcome::Again
            }
        }
    }

    async fn sync(&self, job: &SyncJob) -> Result<(), ReportError> {
        let (channel, account) = (job.channel_id.as_str(), job.account_id.as_str());
        let mut reports = self.accounts.of(job);
        reports.entered(Stage::ListFetch).await?;
        match self.fetch(job).await {
            Ok(cursor) => {
                reports.entered(Stage::Import).await?;
                // Here the messages would be stored, before the report.
                reports.completed(cursor).await?;
                tracing::info!(channel, account, "synced");
                Ok(())
            }
            Err(error) => {
                let reason = error.reason().map(tracing::field::display);
                tracing::warn!(channel, account, reason, %error, "not synced");
                match error.report() {
                    Some(failed) => reports.failed(failed).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Reads from the provider's API with a token, and once more with a newer token after a 401.
    async fn fetch(&self, job: &SyncJob) -> Result<String, JobError> {
        let account: AccountId = job.account_id.parse().map_err(|_| JobError::InvalidJob)?;
        let api = self
            .apis
            .of(&job.provider)
            .ok_or_else(|| JobError::UnknownProvider(job.provider.clone()))?;
        let token = self.tokens.access_token(account).await?;
        match api.read_since(&job.sync_cursor, &token).await {
            Err(ApiError::TokenRefused) => {
                let newer = self.tokens.replace_after_401(&token).await?;
                Ok(api.read_since(&job.sync_cursor, &newer).await?)
            }
            read => Ok(read?),
        }
    }
}
