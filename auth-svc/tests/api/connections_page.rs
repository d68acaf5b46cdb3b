//! The connections page and its gRPC services: if they are not available, if an account
//! belongs to another person, and after their certificates were renewed.

use std::path::Path;
use std::sync::atomic::Ordering;

use latchkey_proto::account::{Account, Channel, ChannelKind, SyncStatus};
use latchkey_testkit::{Proxy, TestCertificates, eventually};

use crate::support::grpc_services::{FakeServices, FakeState};
use crate::support::{Browser, PUBLIC, Response, TestApp};

const LIST: &str = "/auth/account/connections";

/// An address on which no service listens.
const NOWHERE: &str = "https://localhost:1";

const ID: &str = "0199a000-0000-7000-8000-000000000001";
const STRANGER: &str = "0199a000-0000-7000-8000-00000000000f";

async fn app(certificates: &TestCertificates, sync: &str, tokens: &str) -> TestApp {
    app_with_token(certificates, sync, tokens, Path::new("")).await
}

/// The same with the token of a service account in a file.
async fn app_with_token(
    certificates: &TestCertificates,
    sync: &str,
    tokens: &str,
    token: &Path,
) -> TestApp {
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
        ("GRPC_CLIENT_TOKEN_FILE", &path(token)),
    ])
    .await
}

/// Returns a browser in which Ada is signed in, and an account of hers.
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

/// Sends every request that a person can make for one account.
async fn all_of(browser: &mut Browser, id: &str) -> [Response; 3] {
    [
        browser.get(&format!("{LIST}/{id}/disconnect")).await,
        browser.post(&format!("{LIST}/{id}/disconnect")).await,
        browser.post(&format!("{LIST}/{id}/start")).await,
    ]
}

// R37
#[tokio::test]
async fn without_sync_svc_every_page_says_what_to_do_next() {
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
        "connecting is still possible"
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
async fn without_refresh_svc_accounts_are_shown_and_none_counts_as_disconnected() {
    let certificates = TestCertificates::create();
    let fake = FakeState::default();
    let sync = FakeServices::start(&certificates, &fake).await;
    let app = app(&certificates, &sync.url(), NOWHERE).await;
    let (mut ada, account) = ada(&app).await;
    fake.accounts.lock().unwrap().push(account);
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

// R36, R37: even if sync-svc returns accounts of others.
#[tokio::test]
async fn an_account_of_someone_else_or_of_another_workspace_is_not_found() {
    let certificates = TestCertificates::create();
    let fake = FakeState::default();
    let services = FakeServices::start(&certificates, &fake).await;
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
        *fake.accounts.lock().unwrap() = vec![foreign];
        let page = ada.get(LIST).await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains(ID) && !page.body.contains("box@"));
        for response in all_of(&mut ada, ID).await {
            assert_eq!(response.status, 404);
            assert!(
                response.body.contains("You have no such account"),
                "{}",
                response.body
            );
            assert!(!response.body.contains("box@"), "{}", response.body);
        }
    }
    for no_id in ["none", "0199a000", "..%2f..%2fsessions", "%00"] {
        for response in all_of(&mut ada, no_id).await {
            assert_eq!(response.status, 404, "{no_id}");
        }
    }
    assert_eq!(fake.changes(), 0, "an account was changed");

    *fake.accounts.lock().unwrap() = vec![own];
    let statuses = all_of(&mut ada, ID).await.map(|response| response.status);
    assert_eq!(
        statuses,
        [200, 303, 404],
        "the account is disconnected after the second request"
    );
    assert_eq!(fake.changes(), 1);
}

// R19
#[tokio::test]
async fn an_unverified_address_is_marked_only_if_sync_svc_reports_it() {
    let certificates = TestCertificates::create();
    let fake = FakeState::default();
    let services = FakeServices::start(&certificates, &fake).await;
    let app = app(&certificates, &services.url(), &services.url()).await;
    let (mut ada, own) = ada(&app).await;
    for (verified, marked) in [(Some(false), true), (Some(true), false), (None, false)] {
        let account = Account {
            handle: "box@xn--bcher-kva.example".to_owned(),
            handle_verified: verified,
            ..own.clone()
        };
        *fake.accounts.lock().unwrap() = vec![account];
        let page = ada.get(LIST).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("<h2>box@bücher.example</h2>"));
        let says = page
            .body
            .contains("This address is not verified: Google does not confirm");
        assert_eq!(says, marked, "{verified:?} {}", page.body);
    }
}

// R28
#[tokio::test]
async fn a_failed_sync_can_be_started_again_and_a_waiting_one_is_shown_as_waiting() {
    let certificates = TestCertificates::create();
    let fake = FakeState::default();
    let services = FakeServices::start(&certificates, &fake).await;
    let app = app(&certificates, &services.url(), &services.url()).await;
    let (mut ada, own) = ada(&app).await;
    let with = |status: SyncStatus, stage: &str| Account {
        channels: vec![Channel {
            kind: ChannelKind::Message.into(),
            sync_status: status.into(),
            sync_stage: stage.to_owned(),
            // 1970, long ago.
            sync_stage_started_at: Some(prost_types::Timestamp::default()),
            ..Channel::default()
        }],
        ..own.clone()
    };
    let again = format!("action=\"{LIST}/{ID}/start\"");

    let waits = with(SyncStatus::Ongoing, "MESSAGE_LIST_FETCH_PENDING");
    *fake.accounts.lock().unwrap() = vec![waits];
    let page = ada.get(LIST).await.body;
    assert!(page.contains("The first sync has not begun yet"), "{page}");
    assert!(
        !page.contains("Stopped") && !page.contains(&again),
        "{page}"
    );

    let failed = with(SyncStatus::FailedUnknown, "FAILED");
    *fake.accounts.lock().unwrap() = vec![failed.clone()];
    let page = ada.get(LIST).await.body;
    assert!(page.contains("The sync ended with an error"), "{page}");
    assert!(
        page.contains(&again) && page.contains("Try again"),
        "{page}"
    );
    let response = ada.post(&format!("{LIST}/{ID}/start")).await;
    assert_eq!(response.status, 303);
    assert_eq!(fake.changes(), 1);

    // A sync cannot start before the person gives access again.
    let dead = Account {
        auth_failed_at: Some(prost_types::Timestamp::default()),
        ..failed
    };
    *fake.accounts.lock().unwrap() = vec![dead];
    let page = ada.get(LIST).await.body;
    assert!(!page.contains(&again), "{page}");
}

// R34
#[tokio::test]
async fn the_page_shows_in_advance_when_a_grant_expires() {
    let certificates = TestCertificates::create();
    let fake = FakeState::default();
    let services = FakeServices::start(&certificates, &fake).await;
    let app = app(&certificates, &services.url(), &services.url()).await;
    let (mut ada, own) = ada(&app).await;
    assert!(!ada.get(LIST).await.body.contains("gave expires"));
    // 2100-01-01, later than the clock of any test.
    let end = prost_types::Timestamp {
        seconds: 4_102_444_800,
        nanos: 0,
    };
    let ends = Account {
        grant_expires_at: Some(end),
        ..own
    };
    *fake.accounts.lock().unwrap() = vec![ends.clone()];
    let page = ada.get(LIST).await.body;
    assert!(page.contains("expires on 1 January 2100"), "{page}");
    // A dead grant has expired already.
    *fake.accounts.lock().unwrap() = vec![Account {
        auth_failed_at: Some(prost_types::Timestamp::default()),
        ..ends
    }];
    assert!(!ada.get(LIST).await.body.contains("gave expires"));
}

// R33
#[tokio::test]
async fn a_call_whose_connection_ends_is_repeated_once() {
    let certificates = TestCertificates::create();
    let fake = FakeState::default();
    let services = FakeServices::start(&certificates, &fake).await;
    let proxy = Proxy::start(([127, 0, 0, 1], services.port).into())
        .await
        .unwrap();
    let url = format!("https://localhost:{}", proxy.address().port());
    let app = app(&certificates, &url, &url).await;
    let (mut ada, own) = ada(&app).await;
    *fake.accounts.lock().unwrap() = vec![own];

    for (unanswered, status) in [(1, 200), (2, 503)] {
        fake.listed.store(0, Ordering::SeqCst);
        fake.unanswered.store(unanswered, Ordering::SeqCst);
        let end_connections = async {
            for call in 1..=unanswered {
                eventually("the call has arrived", async || {
                    fake.listed.load(Ordering::SeqCst) == call
                })
                .await;
                proxy.close_connections();
            }
        };
        let (page, ()) = tokio::join!(ada.get(LIST), end_connections);
        assert_eq!(page.status, status, "{}", page.body);
    }
}

// R36
#[tokio::test]
async fn renewed_certificates_are_used_without_a_restart() {
    let files = TestCertificates::create();
    let fake = FakeState::default();
    let before = FakeServices::start(&files, &fake).await;
    let port = before.port;
    let app = app(&files, &before.url(), &before.url()).await;
    let (mut ada, _) = ada(&app).await;
    assert_eq!(ada.get(LIST).await.status, 200);

    // Both sides get certificates of another CA, so the old ones are not accepted.
    let next = TestCertificates::create();
    before.stop().await;
    let _after = FakeServices::start_at(port, &next, &fake).await;
    assert_eq!(ada.get(LIST).await.status, 503);

    let renew = |from: &Path, to: &Path| std::fs::copy(from, to).unwrap();
    renew(&next.client.certificate, &files.client.certificate);
    renew(&next.client.key, &files.client.key);
    renew(&next.authority, &files.authority);
    eventually("the renewed certificates are used", async || {
        ada.get(LIST).await.status == 200
    })
    .await;
}

// R36
#[tokio::test]
async fn the_token_of_the_service_account_is_sent_and_read_again() {
    let certificates = TestCertificates::create();
    let fake = FakeState::default();
    let services = FakeServices::start(&certificates, &fake).await;
    let url = services.url();
    let token = certificates.authority.with_file_name("token");
    std::fs::write(&token, "first.to.ken\n").unwrap();
    let app = app_with_token(&certificates, &url, &url, &token).await;
    let (mut ada, _) = ada(&app).await;
    assert_eq!(ada.get(LIST).await.status, 200);
    let sent = || fake.authorization.lock().unwrap().clone();
    assert_eq!(sent().as_deref(), Some("Bearer first.to.ken"));

    std::fs::write(&token, "second.to.ken\n").unwrap();
    eventually("the new token is used", async || {
        assert_eq!(ada.get(LIST).await.status, 200);
        sent().as_deref() == Some("Bearer second.to.ken")
    })
    .await;
}
