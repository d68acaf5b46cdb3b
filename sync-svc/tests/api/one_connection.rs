//! `DATABASE_MAX_CONNECTIONS=1`, as every test here sets it: code that holds one
//! connection and waits for another would deadlock.

use latchkey_config::Environment;
use latchkey_domain::{EventId, UserId};
use latchkey_messaging::topology::Subscription;
use latchkey_proto::account::account_service_client::AccountServiceClient;
use latchkey_proto::account::report_sync_request::{Report, StageEntered};
use latchkey_proto::account::{
    GetAccountRequest, ListAccountsRequest, ListChannelsRequest, ReportSyncRequest,
    StartChannelSyncRequest,
};
use latchkey_proto::events::{
    AccountDisconnected, AccountReauthRequired, MemberRemoved, UserAuthenticated,
};
use latchkey_proto::methods_of;
use latchkey_testkit::Role;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::person::{Person, applied, at, channels, published};
use crate::support::service::TestService;

/// Number of equal calls at the same time.
const CONCURRENT: usize = 8;

/// The ids that a call needs.
#[derive(Clone)]
struct About {
    account: String,
    channel: String,
    workspace: String,
}

/// Calls a method by its name in the contract.
async fn call(
    mut client: AccountServiceClient<Channel>,
    method: &str,
    about: About,
) -> Result<(), Status> {
    let (account_id, channel_id, workspace_id) = (about.account, about.channel, about.workspace);
    match method {
        "GetAccount" => {
            let request = GetAccountRequest { account_id };
            client.get_account(request).await.map(drop)
        }
        "ListAccounts" => {
            let request = ListAccountsRequest {
                workspace_id,
                ..ListAccountsRequest::default()
            };
            client.list_accounts(request).await.map(drop)
        }
        "ListChannels" => {
            let request = ListChannelsRequest { account_id };
            client.list_channels(request).await.map(drop)
        }
        "ReportSync" => {
            let sync_stage = "MESSAGE_LIST_FETCH_ONGOING".to_owned();
            let request = ReportSyncRequest {
                channel_id,
                report: Some(Report::StageEntered(StageEntered { sync_stage })),
                ..ReportSyncRequest::default()
            };
            client.report_sync(request).await.map(drop)
        }
        "StartChannelSync" => {
            let request = StartChannelSyncRequest { account_id };
            client.start_channel_sync(request).await.map(drop)
        }
        other => unreachable!("say here how {other} is called"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_and_every_consumer_answers_with_one_connection() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    let about = About {
        account: account.to_string(),
        channel: channels(&service, account).await[0].id.to_string(),
        workspace: person.workspace.to_string(),
    };
    let client = service.client().await;

    let mut calls = JoinSet::new();
    for method in methods_of("latchkey.account.v1", "AccountService") {
        for _ in 0..CONCURRENT {
            let (client, method, about) = (client.clone(), method.clone(), about.clone());
            calls.spawn(async move {
                let answer = call(client, &method, about).await;
                (method, answer)
            });
        }
    }
    let mut events = Vec::new();
    for key in Subscription::SYNC_SVC.routing_keys {
        for second in 1..=i64::try_from(CONCURRENT).unwrap() {
            let id = EventId::generate();
            publish(&service, key, id, &person, &about.account, second).await;
            events.push(id);
        }
    }
    while let Some(answered) = calls.join_next().await {
        let (method, answer) = answered.unwrap();
        if let Err(status) = answer {
            // The state of the channel may refuse the call; the database must not.
            let refused = matches!(
                status.code(),
                Code::FailedPrecondition | Code::NotFound | Code::InvalidArgument
            );
            assert!(refused, "{method}: {status}");
        }
    }
    for id in events {
        applied(&service, id).await;
    }
    published(&service).await;
}

/// Publishes an event of the type that a consumer is bound to.
async fn publish(
    service: &TestService,
    routing_key: &str,
    id: EventId,
    person: &Person,
    account: &str,
    second: i64,
) {
    use latchkey_messaging::outbox::Event as _;
    let account_id = account.to_owned();
    match routing_key {
        UserAuthenticated::ROUTING_KEY => service.publish(id, &person.sign_in(second)).await,
        AccountReauthRequired::ROUTING_KEY => {
            let event = AccountReauthRequired {
                account_id,
                reason: "INVALID_REFRESH_TOKEN".to_owned(),
                authenticated_at: Some(at(second)),
                ..AccountReauthRequired::default()
            };
            service.publish(id, &event).await;
        }
        AccountDisconnected::ROUTING_KEY => {
            let event = AccountDisconnected {
                account_id,
                disconnected_at: Some(at(second)),
                ..AccountDisconnected::default()
            };
            service.publish(id, &event).await;
        }
        MemberRemoved::ROUTING_KEY => {
            // Another member: the calls are about this one's account.
            let event = MemberRemoved {
                workspace_id: person.workspace.to_string(),
                user_id: UserId::generate().to_string(),
                removed_at: Some(at(second)),
                keep_connections: false,
            };
            service.publish(id, &event).await;
        }
        other => unreachable!("say here what {other} looks like"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_moves_channels_with_one_connection() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let environment: Environment = [
        ("DATABASE_URL", service.database.url(Role::Sync)),
        ("DATABASE_MAX_CONNECTIONS", "1".to_owned()),
    ]
    .into_iter()
    .collect();
    let pool = latchkey_service::database::pool(&environment, "sweep").unwrap();
    let later = crate::sweep::now() + time::Duration::hours(2);
    assert_eq!(sync_svc::sweep::run_once(&pool, later).await.unwrap(), 2);
}
