use std::sync::Arc;

use latchkey_domain::{AccountId, ChannelId, Clock, JobId};
use latchkey_proto::account::account_service_server::AccountService;
use latchkey_proto::account::{
    GetAccountRequest, GetAccountResponse, ListAccountsRequest, ListAccountsResponse,
    ListChannelsRequest, ListChannelsResponse, ReportSyncRequest, ReportSyncResponse,
    StartChannelSyncRequest, StartChannelSyncResponse,
};
use latchkey_service::database::{ANSWER, within};
use sqlx::PgPool;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::convert;
use super::page::{self, Page};
use super::status::RpcError;
use crate::progress::{self, ProgressError};
use crate::store::{account, channel};

/// The account service over a pool.
#[derive(Debug)]
pub struct AccountServer {
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

impl AccountServer {
    /// A service over a pool.
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self { pool, clock }
    }

    async fn account(&self, request: &GetAccountRequest) -> Result<GetAccountResponse, RpcError> {
        let id: AccountId = request
            .account_id
            .parse()
            .map_err(RpcError::id("account_id"))?;
        let mut connection = self.pool.acquire().await?;
        let view = account::find(&mut connection, id)
            .await?
            .ok_or(ProgressError::AccountNotFound)?;
        let channels = channel::of_accounts(&mut connection, &[view.account.id]).await?;
        Ok(GetAccountResponse {
            account: Some(convert::account(view, &channels)),
        })
    }

    async fn accounts(
        &self,
        request: &ListAccountsRequest,
    ) -> Result<ListAccountsResponse, RpcError> {
        let workspace = request
            .workspace_id
            .parse()
            .map_err(RpcError::id("workspace_id"))?;
        let user = match request.user_id.as_str() {
            "" => None,
            text => Some(text.parse().map_err(RpcError::id("user_id"))?),
        };
        let page = Page::read(request.page_size, &request.page_token)?;
        let mut connection = self.pool.acquire().await?;
        // One more than asked for tells whether there is a next page.
        let limit = i64::try_from(page.size + 1).unwrap_or(i64::MAX);
        let mut views = account::page(&mut connection, workspace, user, page.after, limit).await?;
        let more = views.len() > page.size;
        views.truncate(page.size);
        let next_page_token = views
            .last()
            .filter(|_| more)
            .map(|last| page::token(last.account.connected_at, last.account.id))
            .unwrap_or_default();
        let ids: Vec<_> = views.iter().map(|view| view.account.id).collect();
        let channels = channel::of_accounts(&mut connection, &ids).await?;
        Ok(ListAccountsResponse {
            accounts: views
                .into_iter()
                .map(|view| convert::account(view, &channels))
                .collect(),
            next_page_token,
        })
    }

    async fn report(&self, request: ReportSyncRequest) -> Result<ReportSyncResponse, RpcError> {
        let id: ChannelId = request
            .channel_id
            .parse()
            .map_err(RpcError::id("channel_id"))?;
        let job: Option<JobId> = match request.job_id.as_str() {
            "" => None,
            text => Some(text.parse().map_err(RpcError::id("job_id"))?),
        };
        let report = request
            .report
            .ok_or_else(|| RpcError::invalid("report", "is missing"))?;
        let kind = {
            let mut connection = self.pool.acquire().await?;
            channel::kind_of(&mut connection, id)
                .await?
                .ok_or(ProgressError::ChannelNotFound)?
        };
        let input = convert::input(kind, report)?;
        let row = progress::report(&self.pool, id, job, input, self.clock.now()).await?;
        tracing::info!(
            channel.id = %row.id, status = %row.state.status,
            stage = row.state.stage.name(row.kind), "sync reported"
        );
        Ok(ReportSyncResponse {
            channel: Some(convert::channel(&row)),
        })
    }

    async fn start(
        &self,
        request: &StartChannelSyncRequest,
    ) -> Result<StartChannelSyncResponse, RpcError> {
        let id = request
            .account_id
            .parse()
            .map_err(RpcError::id("account_id"))?;
        let rows = progress::start(&self.pool, id, self.clock.now()).await?;
        Ok(StartChannelSyncResponse {
            channels: rows.iter().map(convert::channel).collect(),
        })
    }
}

/// Runs a call, within the time that the database has, in a span that goes on with the caller's trace.
async fn traced<T, R>(
    method: &'static str,
    request: Request<T>,
    call: impl AsyncFnOnce(T) -> Result<R, RpcError>,
) -> Result<Response<R>, Status> {
    let traceparent = request
        .metadata()
        .get("traceparent")
        .and_then(|value| value.to_str().ok());
    let span = tracing::info_span!("grpc", otel.kind = "server", rpc.method = method);
    latchkey_service::telemetry::follow(&span, traceparent);
    async {
        within(ANSWER, call(request.into_inner()))
            .await
            .map(Response::new)
            .map_err(Status::from)
    }
    .instrument(span)
    .await
}

#[tonic::async_trait]
impl AccountService for AccountServer {
    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountResponse>, Status> {
        traced("GetAccount", request, async |inner| {
            self.account(&inner).await
        })
        .await
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        traced("ListAccounts", request, async |inner| {
            self.accounts(&inner).await
        })
        .await
    }

    async fn list_channels(
        &self,
        request: Request<ListChannelsRequest>,
    ) -> Result<Response<ListChannelsResponse>, Status> {
        traced(
            "ListChannels",
            request,
            async |inner: ListChannelsRequest| {
                let account_id = inner.account_id;
                let answer = self.account(&GetAccountRequest { account_id }).await?;
                Ok(ListChannelsResponse {
                    channels: answer
                        .account
                        .map(|account| account.channels)
                        .unwrap_or_default(),
                })
            },
        )
        .await
    }

    async fn report_sync(
        &self,
        request: Request<ReportSyncRequest>,
    ) -> Result<Response<ReportSyncResponse>, Status> {
        traced("ReportSync", request, async |inner| {
            self.report(inner).await
        })
        .await
    }

    async fn start_channel_sync(
        &self,
        request: Request<StartChannelSyncRequest>,
    ) -> Result<Response<StartChannelSyncResponse>, Status> {
        traced("StartChannelSync", request, async |inner| {
            self.start(&inner).await
        })
        .await
    }
}
