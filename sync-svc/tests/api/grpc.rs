use latchkey_domain::JobId;
use latchkey_proto::account::report_sync_request::{Completed, Failed, Report, StageEntered};
use latchkey_proto::account::{
    FailureKind, GetAccountRequest, ListAccountsRequest, ListChannelsRequest, ReportSyncRequest,
    StartChannelSyncRequest, SyncStatus,
};
use latchkey_testkit::eventually;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

use crate::support::person::{Person, channels, execute};
use crate::support::service::TestService;

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

/// A report of a worker on a channel's first start.
fn report(channel_id: &str, report: Report) -> ReportSyncRequest {
    report_of(channel_id, 1, report)
}

/// A report of a worker on this start of a channel.
fn report_of(channel_id: &str, generation: i32, report: Report) -> ReportSyncRequest {
    let channel: uuid::Uuid = channel_id.parse().unwrap();
    ReportSyncRequest {
        channel_id: channel_id.to_owned(),
        job_id: JobId::first_of(channel.into(), generation).to_string(),
        generation,
        report: Some(report),
    }
}

fn stage(name: &str) -> Report {
    Report::StageEntered(StageEntered {
        sync_stage: name.to_owned(),
    })
}

fn failed(kind: FailureKind) -> Report {
    Report::Failed(Failed {
        kind: kind.into(),
        retry_after: None,
        detail: "provider said so".to_owned(),
    })
}

// R26
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reports_progress_until_the_channel_is_active() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account_id = person.account(&service).await.id.to_string();
    let mut client = service.client().await;
    let request = GetAccountRequest {
        account_id: account_id.clone(),
    };
    let account = client.get_account(request).await.unwrap().into_inner();
    let account = account.account.unwrap();
    assert_eq!(account.handle, "tim@apple.dev");
    let channel = account.channels[0].id.clone();

    for name in ["MESSAGE_LIST_FETCH_ONGOING", "MESSAGES_IMPORT_ONGOING"] {
        let answer = client.report_sync(report(&channel, stage(name))).await;
        let moved = answer.unwrap().into_inner().channel.unwrap();
        assert_eq!(moved.sync_stage, name);
        assert_eq!(moved.sync_status(), SyncStatus::Ongoing);
    }
    let done = Report::Completed(Completed {
        sync_cursor: "history-9".to_owned(),
    });
    let answer = client.report_sync(report(&channel, done)).await.unwrap();
    let moved = answer.into_inner().channel.unwrap();
    assert_eq!(moved.sync_status(), SyncStatus::Active);
    assert_eq!(moved.sync_cursor, "history-9");
    assert!(moved.synced_at.is_some());

    let expired = report(&channel, failed(FailureKind::CursorExpired));
    client.report_sync(expired).await.unwrap();
    let request = ListChannelsRequest { account_id };
    let found = client.list_channels(request).await.unwrap().into_inner();
    assert_eq!(found.channels[0].sync_cursor, "");
    let stored = channels(&service, person.account(&service).await.id).await;
    assert_eq!(stored[0].jobs, 2);

    // R26: a report for an earlier start is refused.
    let late = report(&channel, stage("MESSAGES_IMPORT_ONGOING"));
    let status = client.report_sync(late).await.unwrap_err();
    assert_eq!(reason(&status), "STALE_JOB");
    // Job and channel name the id and the generation that a report needs.
    let found = &found.channels[0];
    assert_eq!(found.generation, 2);
    let jobs = service.jobs("latchkey.jobs.messaging").await;
    assert!(
        jobs.iter()
            .any(|job| job.generation == 2 && job.job_id == found.sync_job_id)
    );
    let now = report_of(&channel, 2, stage("MESSAGE_LIST_FETCH_ONGOING"));
    client.report_sync(now).await.unwrap();
}

// R26
#[tokio::test(flavor = "multi_thread")]
async fn failures_throttle_and_missing_permissions_are_shown() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    let found = channels(&service, account).await;
    let mut client = service.client().await;
    let (message, calendar) = (found[0].id.to_string(), found[1].id.to_string());

    let throttled = report(&message, failed(FailureKind::Retryable));
    let answer = client.report_sync(throttled).await.unwrap().into_inner();
    let moved = answer.channel.unwrap();
    assert_eq!(moved.throttle_failure_count, 1);
    assert!(moved.throttle_retry_after.is_some());
    assert_eq!(moved.sync_status(), SyncStatus::Ongoing);

    let refused = report(&calendar, failed(FailureKind::InsufficientPermissions));
    let answer = client.report_sync(refused).await.unwrap().into_inner();
    assert_eq!(
        answer.channel.unwrap().sync_status(),
        SyncStatus::FailedInsufficientPermissions
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_code_and_reason() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    let channel = channels(&service, account).await[0].id.to_string();
    let nobody = uuid::Uuid::new_v4().to_string();
    let mut client = service.client().await;

    let get = async |id: &str| {
        let account_id = id.to_owned();
        let request = GetAccountRequest { account_id };
        client.clone().get_account(request).await.unwrap_err()
    };
    let status = get("x").await;
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = get(&nobody).await;
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(reason(&status), "ACCOUNT_NOT_FOUND");

    let cases = [
        (
            report(&nobody, stage("FAILED")),
            Code::NotFound,
            "CHANNEL_NOT_FOUND",
        ),
        (
            report(&channel, stage("CALENDAR_EVENTS_IMPORT_ONGOING")),
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (
            report(&channel, stage("MESSAGES_IMPORT_ONGOING")),
            Code::FailedPrecondition,
            "STATE_REFUSED",
        ),
        (
            ReportSyncRequest {
                job_id: nobody.clone(),
                ..report(&channel, stage("MESSAGE_LIST_FETCH_ONGOING"))
            },
            Code::FailedPrecondition,
            "STALE_JOB",
        ),
        (
            ReportSyncRequest {
                generation: 2,
                ..report(&channel, stage("MESSAGE_LIST_FETCH_ONGOING"))
            },
            Code::FailedPrecondition,
            "STALE_JOB",
        ),
        (
            ReportSyncRequest {
                job_id: String::new(),
                ..report(&channel, stage("MESSAGE_LIST_FETCH_ONGOING"))
            },
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (
            ReportSyncRequest {
                generation: 0,
                ..report(&channel, stage("MESSAGE_LIST_FETCH_ONGOING"))
            },
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
    ];
    for (request, code, expected) in cases {
        let status = client.report_sync(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert_eq!(reason(&status), expected);
    }
}

// R24
#[tokio::test(flavor = "multi_thread")]
async fn in_confirm_mode_channels_wait_for_the_confirmation_and_start_once() {
    let service = TestService::start_with(1, &[("CONNECT_MODE", "confirm")]).await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    for channel in channels(&service, account).await {
        assert_eq!(channel.shows(), ("NOT_SYNCED", "PENDING_CONFIGURATION"));
        assert_eq!(channel.jobs, 0);
    }
    let mut client = service.client().await;
    for _ in 0..2 {
        let request = StartChannelSyncRequest {
            account_id: account.to_string(),
        };
        let answer = client.start_channel_sync(request).await.unwrap();
        let started = answer.into_inner().channels;
        assert_eq!(started.len(), 2);
        assert!(
            started
                .iter()
                .all(|channel| channel.sync_status() == SyncStatus::Ongoing)
        );
    }
    let found = channels(&service, account).await;
    assert!(found.iter().all(|channel| channel.jobs == 1));
}

// R24, R34
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_grant_is_not_started() {
    let service = TestService::start_with(1, &[("CONNECT_MODE", "confirm")]).await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    execute(
        &service,
        "UPDATE vault.credential SET auth_failed_at = now()",
    )
    .await;
    let request = StartChannelSyncRequest {
        account_id: person.account(&service).await.id.to_string(),
    };
    let mut client = service.client().await;
    let status = client.start_channel_sync(request).await.unwrap_err();
    assert_eq!(reason(&status), "REAUTH_REQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_listed_in_pages_of_their_workspace_alone() {
    let service = TestService::start().await;
    let workspace = uuid::Uuid::new_v4();
    let mut owners = Vec::new();
    for _ in 0..5 {
        let person = Person {
            workspace,
            ..Person::new()
        };
        service
            .publish(latchkey_domain::EventId::generate(), &person.sign_in(0))
            .await;
        owners.push(person.user.to_string());
    }
    let stranger = Person::new();
    stranger.applies(&service, stranger.sign_in(0)).await;
    let mut client = service.client().await;
    latchkey_testkit::eventually("all are connected", async || {
        crate::support::person::count(&service, "SELECT count(*) FROM sync.connected_account").await
            == 6
    })
    .await;
    let mut seen = Vec::new();
    let mut request = ListAccountsRequest {
        workspace_id: workspace.to_string(),
        page_size: 2,
        ..ListAccountsRequest::default()
    };
    loop {
        let page = client.list_accounts(request.clone()).await.unwrap();
        let page = page.into_inner();
        assert!(page.accounts.len() <= 2);
        seen.extend(page.accounts.into_iter().map(|account| account.user_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    seen.sort();
    owners.sort();
    assert_eq!(seen, owners);
}

// R36
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_certificate_is_refused() {
    let service = TestService::start().await;
    let refused = match service.connect_with(service.tls()).await {
        Err(_) => true,
        // TLS 1.3: the client notices the refusal with its first request.
        Ok(channel) => {
            let mut client =
                latchkey_proto::account::account_service_client::AccountServiceClient::new(channel);
            client
                .get_account(GetAccountRequest::default())
                .await
                .is_err_and(|status| status.code() != Code::InvalidArgument)
        }
    };
    assert!(refused);
}

// R36: the call is refused before the request is read, so the answer does not depend on
// the request. The list of an earlier version is still supported.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_only_call_the_methods_after_its_name() {
    let list = "test-client=GetAccount,spiffe://acme.example/sync/*";
    let service = TestService::start_with(1, &[("POLICY", ""), ("GRPC_CALLERS", list)]).await;
    let authority = service.certificates.authority();
    let (get, start) = (
        GetAccountRequest::default(),
        StartChannelSyncRequest::default(),
    );
    let worker = authority.client_with_id("worker", "spiffe://acme.example/sync/mail");
    let mut worker = service.client_as(&worker.unwrap()).await;
    for status in [
        worker.get_account(get.clone()).await.unwrap_err(),
        worker.start_channel_sync(start.clone()).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::InvalidArgument, "let in");
    }

    let mut pages = service.client().await;
    let status = pages.get_account(get.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "let in");
    let status = pages.start_channel_sync(start).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason(&status), "CALLER_NOT_ALLOWED");

    let stranger = service.certificates.client_named("stranger");
    let mut stranger = service.client_as(&stranger).await;
    let status = stranger.get_account(get.clone()).await.unwrap_err();
    assert_eq!(reason(&status), "CALLER_NOT_ALLOWED");

    let nameless = authority.client_without_names("nameless").unwrap();
    let mut nameless = service.client_as(&nameless).await;
    let status = nameless.get_account(get).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(reason(&status), "CALLER_UNKNOWN");
}

// After the request to stop, a replica reports that it is not ready and still answers
// calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_fails_no_call() {
    let mut service = TestService::start_with(1, &[("SHUTDOWN_DELAY", "5s")]).await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account_id = person.account(&service).await.id.to_string();
    let mut client = service.client().await;
    let request = GetAccountRequest { account_id };
    eventually("the replica is ready", async || {
        service.ready().await == 200
    })
    .await;

    service.request_shutdown();
    eventually("it is no longer ready", async || {
        client.get_account(request.clone()).await.unwrap();
        service.ready().await == 503
    })
    .await;
    let mut newcomer = service.client().await;
    newcomer.get_account(request.clone()).await.unwrap();
    // An event that arrives now is applied too.
    let late = Person::new();
    late.applies(&service, late.sign_in(0)).await;
    client.get_account(request).await.unwrap();
    service.stop_replicas().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_beyond_the_bound_is_refused_with_field_and_bound() {
    let service = TestService::start().await;
    let mut client = service.client().await;
    let mut list = async |page_size| {
        let request = ListAccountsRequest {
            workspace_id: uuid::Uuid::new_v4().to_string(),
            page_size,
            ..ListAccountsRequest::default()
        };
        client.list_accounts(request).await
    };
    list(500).await.unwrap();
    let status = list(501).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "page_size: must be at most 500");
    let bad = status.get_details_bad_request().unwrap();
    assert_eq!(bad.field_violations[0].field, "page_size");
    assert_eq!(bad.field_violations[0].description, "must be at most 500");
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_shows_this_service_alone() {
    let service = TestService::start().await;
    let channel = service.channel_as(&service.certificates.client).await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list of services");
    };
    let names = list.service.iter().map(|service| service.name.as_str());
    let own: Vec<&str> = names.filter(|name| name.starts_with("latchkey")).collect();
    assert_eq!(own, ["latchkey.account.v1.AccountService"]);
}
