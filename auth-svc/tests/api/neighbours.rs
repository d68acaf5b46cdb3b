//! The account pages and the services behind them: away, asked for what is
//! someone else's, and with renewed certificates.

mod stand_in;

use std::path::Path;
use std::time::Duration;

use latchkey_proto::account::{Account, Channel, ChannelKind, SyncStatus};
use latchkey_testkit::TestCertificates;

use crate::helpers::{Answer, Browser, PUBLIC, TestApp};
use stand_in::{Knowledge, StandIn};

const LIST: &str = "/auth/account/connections";

/// Nobody listens there.
const NOWHERE: &str = "https://localhost:1";

const ID: &str = "0199a000-0000-7000-8000-000000000001";
const STRANGER: &str = "0199a000-0000-7000-8000-00000000000f";

async fn app(certificates: &TestCertificates, sync: &str, tokens: &str) -> TestApp {
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    TestApp::start_with(&[
        ("SYNC_GRPC_URL", sync),
        ("TOKEN_GRPC_URL", tokens),
        (
            "GRPC_CLIENT_CERT_FILE",
            &path(&certificates.client.certificate),
        ),
        ("GRPC_CLIENT_KEY_FILE", &path(&certificates.client.key)),
        ("GRPC_CLIENT_CA_FILE", &path(&certificates.authority)),
    ])
    .await
}

/// Ada, whose forms are this deployment's own, and an account of hers.
async fn ada(app: &TestApp) -> (Browser, Account) {
    let mut ada = app.signed_in("ada").await;
    ada.headers = vec![("origin", PUBLIC.to_owned())];
    let event = app.events().await.pop().unwrap();
    let account = Account {
        id: ID.to_owned(),
        workspace_id: event.workspace_id,
        user_id: event.user_id,
        provider: "google".to_owned(),
        handle: "box@acme.example".to_owned(),
        ..Account::default()
    };
    (ada, account)
}

/// Everything that a person can ask of one account.
async fn all_of(browser: &mut Browser, id: &str) -> [Answer; 3] {
    [
        browser.get(&format!("{LIST}/{id}/disconnect")).await,
        browser.post(&format!("{LIST}/{id}/disconnect")).await,
        browser.post(&format!("{LIST}/{id}/start")).await,
    ]
}

// R37
#[tokio::test]
async fn while_sync_svc_is_away_every_page_says_what_to_do_next() {
    let app = app(&TestCertificates::create(), NOWHERE, NOWHERE).await;
    let (mut ada, _) = ada(&app).await;
    let page = ada.get(LIST).await;
    assert_eq!(page.status, 503);
    assert!(
        page.body.contains("cannot be shown right now"),
        "{}",
        page.body
    );
    assert!(page.body.contains(&format!("href=\"{LIST}\">Try again")));
    assert!(
        page.body.contains("/auth/review/google"),
        "connecting works"
    );
    for page in all_of(&mut ada, ID).await {
        assert_eq!(page.status, 503);
        assert!(page.headers.contains_key("retry-after"));
        assert!(page.body.contains("<h1>This did not work right now</h1>"));
        assert!(
            page.body.contains(&format!("href=\"{LIST}\"")),
            "{}",
            page.body
        );
    }
    for path in ["/auth/account", "/auth/account/sessions"] {
        assert_eq!(ada.get(path).await.status, 200, "{path}");
    }
    let mut program = ada.clone().json();
    for refusal in all_of(&mut program, ID).await {
        assert_eq!(refusal.code(), "connections_unavailable");
    }
}

// R37
#[tokio::test]
async fn while_refresh_svc_is_away_accounts_are_shown_and_none_is_said_to_be_disconnected() {
    let certificates = TestCertificates::create();
    let knowledge = Knowledge::default();
    let sync = StandIn::start(&certificates, &knowledge).await;
    let app = app(&certificates, &sync.url(), NOWHERE).await;
    let (mut ada, account) = ada(&app).await;
    knowledge.accounts.lock().unwrap().push(account);
    let page = ada.get(LIST).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains(&format!("{LIST}/{ID}/disconnect")));
    let [asks, disconnects, starts] = all_of(&mut ada, ID).await;
    assert_eq!(
        (asks.status, disconnects.status, starts.status),
        (200, 503, 303)
    );
    assert!(
        disconnects
            .body
            .contains("<h1>This did not work right now</h1>")
    );
    assert!(ada.get(LIST).await.body.contains("box@acme.example"));
}

// R36, R37: also where sync-svc would tell too much.
#[tokio::test]
async fn an_account_of_someone_else_or_of_another_workspace_is_not_there() {
    let certificates = TestCertificates::create();
    let knowledge = Knowledge::default();
    let services = StandIn::start(&certificates, &knowledge).await;
    let app = app(&certificates, &services.url(), &services.url()).await;
    let (mut ada, own) = ada(&app).await;
    let of_another_user = Account {
        user_id: STRANGER.to_owned(),
        ..own.clone()
    };
    let of_another_workspace = Account {
        workspace_id: STRANGER.to_owned(),
        ..own.clone()
    };
    let of_both = Account {
        user_id: STRANGER.to_owned(),
        ..of_another_workspace.clone()
    };
    for foreign in [of_another_user, of_another_workspace, of_both] {
        *knowledge.accounts.lock().unwrap() = vec![foreign];
        let page = ada.get(LIST).await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains(ID) && !page.body.contains("box@"));
        for answer in all_of(&mut ada, ID).await {
            assert_eq!(answer.status, 404);
            assert!(answer.body.contains("not among yours"), "{}", answer.body);
            assert!(!answer.body.contains("box@"), "{}", answer.body);
        }
    }
    for no_id in ["none", "0199a000", "..%2f..%2fsessions", "%00"] {
        for answer in all_of(&mut ada, no_id).await {
            assert_eq!(answer.status, 404, "{no_id}");
        }
    }
    assert_eq!(knowledge.changes(), 0, "something was done");

    *knowledge.accounts.lock().unwrap() = vec![own];
    let statuses = all_of(&mut ada, ID).await.map(|answer| answer.status);
    assert_eq!(statuses, [200, 303, 404], "disconnected, so not there");
    assert_eq!(knowledge.changes(), 1);
}

// R19
#[tokio::test]
async fn an_address_that_nobody_vouches_for_is_marked_and_an_older_service_marks_none() {
    let certificates = TestCertificates::create();
    let knowledge = Knowledge::default();
    let services = StandIn::start(&certificates, &knowledge).await;
    let app = app(&certificates, &services.url(), &services.url()).await;
    let (mut ada, own) = ada(&app).await;
    for (verified, marked) in [(Some(false), true), (Some(true), false), (None, false)] {
        let account = Account {
            handle: "box@xn--bcher-kva.example".to_owned(),
            handle_verified: verified,
            ..own.clone()
        };
        *knowledge.accounts.lock().unwrap() = vec![account];
        let page = ada.get(LIST).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("<h2>box@bücher.example</h2>"));
        let says = page
            .body
            .contains("This address is not verified: Google does not confirm");
        assert_eq!(says, marked, "{verified:?} {}", page.body);
    }
}

// R28: the page says that a waiting sync waits, and has a button that starts a failed
// sync again.
#[tokio::test]
async fn a_sync_that_failed_is_tried_again_and_one_that_waits_is_not_said_to_have_failed() {
    let certificates = TestCertificates::create();
    let knowledge = Knowledge::default();
    let services = StandIn::start(&certificates, &knowledge).await;
    let app = app(&certificates, &services.url(), &services.url()).await;
    let (mut ada, own) = ada(&app).await;
    let with = |status: SyncStatus, stage: &str| Account {
        channels: vec![Channel {
            kind: ChannelKind::Message.into(),
            sync_status: status.into(),
            sync_stage: stage.to_owned(),
            // Long before today.
            sync_stage_started_at: Some(prost_types::Timestamp::default()),
            ..Channel::default()
        }],
        ..own.clone()
    };
    let again = format!("action=\"{LIST}/{ID}/start\"");

    let waits = with(SyncStatus::Ongoing, "MESSAGE_LIST_FETCH_PENDING");
    *knowledge.accounts.lock().unwrap() = vec![waits];
    let page = ada.get(LIST).await.body;
    assert!(page.contains("The first sync has not begun yet"), "{page}");
    assert!(
        !page.contains("Stopped") && !page.contains(&again),
        "{page}"
    );

    let failed = with(SyncStatus::FailedUnknown, "FAILED");
    *knowledge.accounts.lock().unwrap() = vec![failed.clone()];
    let page = ada.get(LIST).await.body;
    assert!(page.contains("The sync ended with an error"), "{page}");
    assert!(
        page.contains(&again) && page.contains("Try again"),
        "{page}"
    );
    let answer = ada.post(&format!("{LIST}/{ID}/start")).await;
    assert_eq!(answer.status, 303);
    assert_eq!(knowledge.changes(), 1);

    // Nothing can start before access is given again.
    let dead = Account {
        auth_failed_at: Some(prost_types::Timestamp::default()),
        ..failed
    };
    *knowledge.accounts.lock().unwrap() = vec![dead];
    let page = ada.get(LIST).await.body;
    assert!(!page.contains(&again), "{page}");
}

// R34: a person learns beforehand when the provider ends the access.
#[tokio::test]
async fn the_end_of_a_grant_is_told_beforehand() {
    let certificates = TestCertificates::create();
    let knowledge = Knowledge::default();
    let services = StandIn::start(&certificates, &knowledge).await;
    let app = app(&certificates, &services.url(), &services.url()).await;
    let (mut ada, own) = ada(&app).await;
    assert!(!ada.get(LIST).await.body.contains("ends its access"));
    // Far ahead of any clock of a test.
    let end = prost_types::Timestamp {
        seconds: 4_102_444_800,
        nanos: 0,
    };
    let ends = Account {
        grant_expires_at: Some(end),
        ..own
    };
    *knowledge.accounts.lock().unwrap() = vec![ends.clone()];
    let page = ada.get(LIST).await.body;
    assert!(page.contains("ends its access on 1 January 2100"), "{page}");
    // What is dead has ended.
    *knowledge.accounts.lock().unwrap() = vec![Account {
        auth_failed_at: Some(prost_types::Timestamp::default()),
        ..ends
    }];
    assert!(!ada.get(LIST).await.body.contains("ends its access"));
}

// R36
#[tokio::test]
async fn renewed_certificates_are_taken_up_without_a_restart() {
    let files = TestCertificates::create();
    let knowledge = Knowledge::default();
    let before = StandIn::start(&files, &knowledge).await;
    let port = before.port;
    let app = app(&files, &before.url(), &before.url()).await;
    let (mut ada, _) = ada(&app).await;
    assert_eq!(ada.get(LIST).await.status, 200);

    // Another authority on both sides: the old certificates are worth nothing.
    let next = TestCertificates::create();
    before.stop().await;
    let _after = StandIn::start_at(port, &next, &knowledge).await;
    assert_eq!(ada.get(LIST).await.status, 503);

    let renew = |from: &Path, to: &Path| std::fs::copy(from, to).unwrap();
    renew(&next.client.certificate, &files.client.certificate);
    renew(&next.client.key, &files.client.key);
    renew(&next.authority, &files.authority);
    let taken_up = async {
        while ada.get(LIST).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(30), taken_up).await;
    assert!(outcome.is_ok(), "still the old ones");
}
