use std::sync::Arc;

use latchkey_domain::{AccountId, ChannelId, Clock, WorkspaceId};
use latchkey_messaging::outbox::OutboxWaker;
use latchkey_policy::Call;
use latchkey_policy::audit::{Outcome, Record};
use latchkey_proto::account::account_service_server::AccountService;
use latchkey_proto::account::{
    GetAccountRequest, GetAccountResponse, ListAccountsRequest, ListAccountsResponse,
    ListChannelsRequest, ListChannelsResponse, ReportSyncRequest, ReportSyncResponse,
    StartChannelSyncRequest, StartChannelSyncResponse,
};
use latchkey_service::database::{ANSWER, within};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use super::page::{self, Page};
use super::status::RpcError;
use super::{authorization, convert};
use crate::store::{account, channel};
use crate::sync_reports::{self, SyncReportError};

/// The implementation of `AccountService`.
#[derive(Debug)]
pub struct AccountServer {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    outbox: OutboxWaker,
}

impl AccountServer {
    /// A service that uses this database, and wakes the relay after a change.
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, outbox: OutboxWaker) -> Self {
        Self {
            pool,
            clock,
            outbox,
        }
    }

    async fn account(
        &self,
        call: &Call,
        request: &GetAccountRequest,
    ) -> Result<GetAccountResponse, RpcError> {
        let id: AccountId = request
            .account_id
            .parse()
            .map_err(RpcError::id("account_id"))?;
        authorization::account(call, &self.pool, id).await?;
        let mut connection = self.pool.acquire().await?;
        let view = account::find(&mut connection, id)
            .await?
            .ok_or(SyncReportError::AccountNotFound)?;
        let channels = channel::of_accounts(&mut connection, &[view.account.id]).await?;
        authorization::record_answer(call, &view.account.location());
        Ok(GetAccountResponse {
            account: Some(convert::account(view, &channels)),
        })
    }

    async fn accounts(
        &self,
        call: &Call,
        request: &ListAccountsRequest,
    ) -> Result<ListAccountsResponse, RpcError> {
        let workspace: WorkspaceId = request
            .workspace_id
            .parse()
            .map_err(RpcError::id("workspace_id"))?;
        let providers = authorization::provider_filter(call.providers(workspace)?);
        let user = match request.user_id.as_str() {
            "" => None,
            text => Some(text.parse().map_err(RpcError::id("user_id"))?),
        };
        let page = Page::read(request.page_size, &request.page_token)?;
        let mut connection = self.pool.acquire().await?;
        // One row more than requested shows whether there is a next page.
        let limit = i64::try_from(page.size + 1).unwrap_or(i64::MAX);
        let mut views = account::page(
            &mut connection,
            workspace,
            user,
            providers.as_deref(),
            page.after,
            limit,
        )
        .await?;
        let more = views.len() > page.size;
        views.truncate(page.size);
        let next_page_token = views
            .last()
            .filter(|_| more)
            .map(|last| page::token(last.account.connected_at, last.account.id))
            .unwrap_or_default();
        let ids: Vec<_> = views.iter().map(|view| view.account.id).collect();
        let channels = channel::of_accounts(&mut connection, &ids).await?;
        call.write(Record {
            workspace: Some(workspace),
            ..call.record(Outcome::Answered)
        });
        Ok(ListAccountsResponse {
            accounts: views
                .into_iter()
                .map(|view| convert::account(view, &channels))
                .collect(),
            next_page_token,
        })
    }

    async fn report(
        &self,
        call: &Call,
        request: ReportSyncRequest,
    ) -> Result<ReportSyncResponse, RpcError> {
        let id: ChannelId = request
            .channel_id
            .parse()
            .map_err(RpcError::id("channel_id"))?;
        let job = convert::started_job(&request)?;
        let report = request
            .report
            .ok_or_else(|| RpcError::invalid("report", "is missing"))?;
        let (kind, location) = authorization::channel(call, &self.pool, id).await?;
        let input = convert::input(kind, report)?;
        let row = sync_reports::report(&self.pool, id, job, input, self.clock.now()).await?;
        self.outbox.wake();
        authorization::record_answer(call, &location);
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
        call: &Call,
        request: &StartChannelSyncRequest,
    ) -> Result<StartChannelSyncResponse, RpcError> {
        let id: AccountId = request
            .account_id
            .parse()
            .map_err(RpcError::id("account_id"))?;
        authorization::account(call, &self.pool, id).await?;
        let (account, rows) = sync_reports::start(&self.pool, id, self.clock.now()).await?;
        self.outbox.wake();
        authorization::record_answer(call, &account.location());
        Ok(StartChannelSyncResponse {
            channels: rows.iter().map(convert::channel).collect(),
        })
    }
}

/// Runs a call with the time limit of the database.
async fn answer<T, R>(
    request: Request<T>,
    handle: impl AsyncFnOnce(&Call, T) -> Result<R, RpcError>,
) -> Result<Response<R>, Status> {
    let call = Call::of(&request)?;
    within(ANSWER, handle(&call, request.into_inner()))
        .await
        .map(Response::new)
        .map_err(Status::from)
}

#[tonic::async_trait]
impl AccountService for AccountServer {
    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountResponse>, Status> {
        answer(request, async |call, inner| {
            self.account(call, &inner).await
        })
        .await
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        answer(request, async |call, inner| {
            self.accounts(call, &inner).await
        })
        .await
    }

    async fn list_channels(
        &self,
        request: Request<ListChannelsRequest>,
    ) -> Result<Response<ListChannelsResponse>, Status> {
        answer(request, async |call, inner: ListChannelsRequest| {
            let account_id = inner.account_id;
            let answer = self
                .account(call, &GetAccountRequest { account_id })
                .await?;
            Ok(ListChannelsResponse {
                channels: answer
                    .account
                    .map(|account| account.channels)
                    .unwrap_or_default(),
            })
        })
        .await
    }

    async fn report_sync(
        &self,
        request: Request<ReportSyncRequest>,
    ) -> Result<Response<ReportSyncResponse>, Status> {
        answer(request, async |call, inner| self.report(call, inner).await).await
    }

    async fn start_channel_sync(
        &self,
        request: Request<StartChannelSyncRequest>,
    ) -> Result<Response<StartChannelSyncResponse>, Status> {
        answer(request, async |call, inner| self.start(call, &inner).await).await
    }
}
