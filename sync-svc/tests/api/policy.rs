//! Which accounts a caller sees: the workspaces and providers of the policy (R36).

use std::path::PathBuf;

use latchkey_domain::JobId;
use latchkey_proto::account::account_service_client::AccountServiceClient;
use latchkey_proto::account::report_sync_request::{Report, StageEntered};
use latchkey_proto::account::{
    GetAccountRequest, GetAccountResponse, ListAccountsRequest, ListChannelsRequest,
    ReportSyncRequest, StartChannelSyncRequest,
};
use latchkey_testkit::eventually;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::support::person::{Person, channels};
use crate::support::service::TestService;

/// An audit record: caller, method, account, workspace, outcome, reason.
type Row = (
    String,
    String,
    Option<Uuid>,
    Option<Uuid>,
    String,
    Option<String>,
);

/// A policy in a file of its own.
struct PolicyFile {
    directory: tempfile::TempDir,
}

impl PolicyFile {
    fn new(text: &str) -> Self {
        let file = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        file.write(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("policy.toml")
    }

    /// Replaces the text, as an editor does.
    fn write(&self, text: &str) {
        let new = self.directory.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path()).unwrap();
    }

    async fn service(&self) -> TestService {
        let path = self.path();
        let variables = [("POLICY", ""), ("POLICY_FILE", path.to_str().unwrap())];
        TestService::start_with(1, &variables).await
    }
}

fn rule(workspace: Uuid, providers: &str) -> String {
    format!(
        "[[rule]]\nname = \"worker\"\ncallers = [\"test-client\"]\nmethods = \"*\"\n\
         providers = {providers}\nworkspaces = [\"{workspace}\"]\n"
    )
}

fn get(account: Uuid) -> GetAccountRequest {
    GetAccountRequest {
        account_id: account.to_string(),
    }
}

fn list(workspace: Uuid) -> ListAccountsRequest {
    ListAccountsRequest {
        workspace_id: workspace.to_string(),
        ..ListAccountsRequest::default()
    }
}

fn report(channel: Uuid) -> ReportSyncRequest {
    ReportSyncRequest {
        channel_id: channel.to_string(),
        job_id: JobId::first_of(channel.into(), 1).to_string(),
        generation: 1,
        report: Some(Report::StageEntered(StageEntered {
            sync_stage: "MESSAGE_LIST_FETCH_ONGOING".to_owned(),
        })),
    }
}

/// The answers of every method about an account and a channel to a refused caller.
async fn refusals(
    client: &mut AccountServiceClient<Channel>,
    account: Uuid,
    channel: Uuid,
) -> Vec<Status> {
    let account_id = account.to_string();
    vec![
        client.get_account(get(account)).await.unwrap_err(),
        client
            .list_channels(ListChannelsRequest {
                account_id: account_id.clone(),
            })
            .await
            .unwrap_err(),
        client
            .start_channel_sync(StartChannelSyncRequest { account_id })
            .await
            .unwrap_err(),
        client.report_sync(report(channel)).await.unwrap_err(),
    ]
}

// R36: fails with the list of callers, which gave each of them every workspace.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_reads_only_the_workspaces_that_its_policy_names() {
    let (own, foreign) = (Person::new(), Person::new());
    let service = PolicyFile::new(&rule(own.workspace, "\"*\""))
        .service()
        .await;
    for person in [&own, &foreign] {
        person.applies(&service, person.sign_in(0)).await;
    }
    let mut client = service.client().await;

    let account = own.account(&service).await.id;
    client.get_account(get(account)).await.unwrap();
    let page = client.list_accounts(list(own.workspace)).await.unwrap();
    assert_eq!(page.into_inner().accounts.len(), 1);
    let channel = channels(&service, account).await[0].id;
    client.report_sync(report(channel)).await.unwrap();

    let account = foreign.account(&service).await.id;
    let channel = channels(&service, account).await[0].id;
    let of_foreign = refusals(&mut client, account, channel).await;
    let of_nobody = refusals(&mut client, Uuid::new_v4(), Uuid::new_v4()).await;
    for (foreign, nobody) in of_foreign.iter().zip(&of_nobody) {
        assert_eq!(foreign.code(), Code::PermissionDenied);
        let reason = foreign.get_details_error_info().unwrap().reason;
        assert_eq!(reason, "CALLER_NOT_ALLOWED");
        assert_eq!(foreign.message(), nobody.message(), "tells what exists");
        assert_eq!(foreign.details(), nobody.details(), "tells what exists");
    }
    for workspace in [foreign.workspace, Uuid::new_v4()] {
        let status = client.list_accounts(list(workspace)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    let moved = channels(&service, account).await;
    assert_eq!(moved[0].shows(), ("ONGOING", "MESSAGE_LIST_FETCH_PENDING"));
}

// R36
#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_the_accounts_of_the_providers_that_the_policy_names() {
    let person = Person::new();
    let policy = PolicyFile::new(&rule(person.workspace, "[\"microsoft\"]"));
    let service = policy.service().await;
    person.applies(&service, person.sign_in(0)).await;
    let mut client = service.client().await;
    let page = client.list_accounts(list(person.workspace)).await.unwrap();
    assert!(page.into_inner().accounts.is_empty());
    let account = person.account(&service).await.id;
    let status = client.get_account(get(account)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

// R36: without a restart, and for open connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_is_in_force_and_a_broken_one_changes_nothing() {
    let person = Person::new();
    let policy = PolicyFile::new(&rule(Uuid::new_v4(), "\"*\""));
    let service = policy.service().await;
    let mut client = service.client().await;
    let status = client.list_accounts(list(person.workspace)).await;
    assert_eq!(status.unwrap_err().code(), Code::PermissionDenied);

    policy.write(&rule(person.workspace, "\"*\""));
    let again = client.clone();
    eventually("the new policy is in force", async || {
        let answer = again.clone().list_accounts(list(person.workspace)).await;
        answer.is_ok()
    })
    .await;
    policy.write("[[rule]]\n");
    policy.write(&rule(Uuid::new_v4(), "\"*\""));
    eventually("the newest policy is in force", async || {
        let answer = again.clone().list_accounts(list(person.workspace)).await;
        answer.is_err()
    })
    .await;
}

// R36: answers and refusals are recorded; sync-svc itself can only append.
#[tokio::test(flavor = "multi_thread")]
async fn answers_and_refusals_leave_audit_records() {
    let (own, foreign) = (Person::new(), Person::new());
    let service = PolicyFile::new(&rule(own.workspace, "\"*\""))
        .service()
        .await;
    for person in [&own, &foreign] {
        person.applies(&service, person.sign_in(0)).await;
    }
    let mut client = service.client().await;
    let (account, other) = (
        own.account(&service).await.id,
        foreign.account(&service).await.id,
    );
    client.get_account(get(account)).await.unwrap();
    client.list_accounts(list(own.workspace)).await.unwrap();
    client.get_account(get(other)).await.unwrap_err();
    client.get_account(get(Uuid::nil())).await.unwrap_err();
    let stranger = service.certificates.client_named("stranger");
    let mut stranger = service.client_as(&stranger).await;
    stranger.get_account(get(account)).await.unwrap_err();

    let mut rows: Vec<Row> = Vec::new();
    eventually("five records", async || {
        rows = sqlx::query_as(
            "SELECT caller, method, account_id, workspace_id, outcome, reason
             FROM sync.audit ORDER BY at, id",
        )
        .fetch_all(service.database.pool())
        .await
        .unwrap();
        rows.len() >= 5
    })
    .await;
    let of =
        |caller: &str, method: &str, account, workspace, outcome: &str, reason: Option<&str>| {
            (
                caller.to_owned(),
                method.to_owned(),
                account,
                workspace,
                outcome.to_owned(),
                reason.map(str::to_owned),
            )
        };
    let (workspace, client) = (Some(own.workspace), "test-client");
    assert_eq!(
        rows,
        [
            of(
                client,
                "GetAccount",
                Some(account),
                workspace,
                "ANSWERED",
                None
            ),
            of(client, "ListAccounts", None, workspace, "ANSWERED", None),
            of(
                client,
                "GetAccount",
                Some(other),
                Some(foreign.workspace),
                "REFUSED",
                Some("account outside the policy")
            ),
            of(
                client,
                "GetAccount",
                Some(Uuid::nil()),
                None,
                "REFUSED",
                Some("no such account")
            ),
            of(
                "stranger",
                "GetAccount",
                None,
                None,
                "REFUSED",
                Some("method")
            ),
        ]
    );
    let own_role = service.database.url(latchkey_testkit::Role::Sync);
    let pool = sqlx::PgPool::connect(&own_role).await.unwrap();
    for statement in [
        "SELECT count(*) FROM sync.audit",
        "UPDATE sync.audit SET caller = 'x'",
        "DELETE FROM sync.audit",
    ] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&pool)
            .await;
        assert!(refused.is_err(), "{statement}");
    }
}

// A caller can tell a method that this version lacks from one that the policy forbids.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_method_is_unimplemented_whatever_the_policy_says() {
    let policy = PolicyFile::new(&rule(Uuid::new_v4(), "\"*\""));
    let service = policy.service().await;
    let stranger = service.certificates.client_named("stranger");
    let channel = service.channel_as(&stranger).await;
    for (path, expected) in [
        (
            "/latchkey.account.v1.AccountService/GetAccount",
            Code::PermissionDenied,
        ),
        (
            "/latchkey.account.v1.AccountService/Nothing",
            Code::Unimplemented,
        ),
    ] {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let answer = client
            .unary(
                Request::new(get(Uuid::new_v4())),
                PathAndQuery::from_static(path),
                tonic_prost::ProstCodec::<_, GetAccountResponse>::default(),
            )
            .await;
        assert_eq!(answer.unwrap_err().code(), expected, "{path}");
    }
}
