use latchkey_domain::EventId;
use latchkey_proto::events::{AccountDisconnected, AccountReauthRequired, Intent};

use crate::support::person::{Person, applied, at, channels, execute};
use crate::support::service::TestService;

fn reauth_event(account: uuid::Uuid, second: i64) -> AccountReauthRequired {
    AccountReauthRequired {
        account_id: account.to_string(),
        reason: "INVALID_REFRESH_TOKEN".to_owned(),
        authenticated_at: Some(at(second)),
        ..AccountReauthRequired::default()
    }
}

// R34
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_grant_stops_the_channels_and_a_stale_notice_does_not() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(10)).await;
    let account = person.account(&service).await.id;

    let stale = EventId::generate();
    service.publish(stale, &reauth_event(account, 5)).await;
    applied(&service, stale).await;
    let found = channels(&service, account).await;
    assert!(found.iter().all(|channel| channel.status == "ONGOING"));

    // refresh-svc marks the row in the transaction of its event.
    execute(
        &service,
        "UPDATE vault.credential SET auth_failed_at = to_timestamp(1795392012)",
    )
    .await;
    let notice = EventId::generate();
    service.publish(notice, &reauth_event(account, 10)).await;
    applied(&service, notice).await;
    let found = channels(&service, account).await;
    for channel in &found {
        assert_eq!(
            channel.shows(),
            ("FAILED_INSUFFICIENT_PERMISSIONS", "FAILED")
        );
    }

    person.applies(&service, person.sign_in(20)).await;
    let found = channels(&service, account).await;
    assert!(found.iter().all(|channel| channel.status == "ONGOING"));
    assert!(found.iter().all(|channel| channel.jobs == 2));
}

/// Disconnects the account at this second as refresh-svc does, and publishes the event.
async fn disconnect(service: &TestService, account: uuid::Uuid, second: i64) {
    erase(service, account, second).await;
    let notice = EventId::generate();
    service
        .publish(notice, &disconnected_event(account, second))
        .await;
    applied(service, notice).await;
}

async fn erase(service: &TestService, account: uuid::Uuid, second: i64) {
    sqlx::query(
        "UPDATE vault.credential
         SET erased_at = to_timestamp(1795392000 + $2), sealed_access_token = NULL,
             sealed_refresh_token = NULL, version = version + 1
         WHERE account_id = $1",
    )
    .bind(account)
    .bind(second)
    .execute(service.database.pool())
    .await
    .unwrap();
}

fn disconnected_event(account: uuid::Uuid, second: i64) -> AccountDisconnected {
    AccountDisconnected {
        account_id: account.to_string(),
        disconnected_at: Some(at(second)),
        ..AccountDisconnected::default()
    }
}

// R27, R37
#[tokio::test(flavor = "multi_thread")]
async fn only_a_later_deliberate_connection_revives_a_disconnected_account() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    disconnect(&service, account, 20).await;
    assert!(person.account(&service).await.disconnected);
    let found = channels(&service, account).await;
    for channel in &found {
        assert_eq!(channel.shows(), ("NOT_SYNCED", "PENDING_CONFIGURATION"));
    }

    // Two that are older than the disconnect and arrive late; then a plain sign-in that
    // is newer.
    for event in [person.sign_in(15), person.connects(16), person.sign_in(30)] {
        person.applies(&service, event).await;
        let still = person.account(&service).await;
        assert!(still.disconnected && still.access.is_none() && still.refresh.is_none());
    }

    person.applies(&service, person.connects(40)).await;
    let again = person.account(&service).await;
    assert!(!again.disconnected);
    assert_eq!(again.id, account);
    assert_eq!(again.refresh.as_deref(), Some("refresh-40"));
    let found = channels(&service, account).await;
    assert!(found.iter().all(|channel| channel.status == "ONGOING"));

    // The event published again with another id is superseded.
    let repeated = EventId::generate();
    service
        .publish(repeated, &disconnected_event(account, 20))
        .await;
    applied(&service, repeated).await;
    assert!(!person.account(&service).await.disconnected);
}

// R27: the account is connected again with fewer scopes, and then a wider event that is
// older than the disconnect arrives.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_wider_event_never_brings_a_disconnected_mailbox_back() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    disconnect(&service, account, 5).await;
    let mut narrow = person.plain(7);
    narrow.intent = Intent::Connect.into();
    person.applies(&service, narrow).await;
    for event in [person.sign_in(2), person.connects(3)] {
        person.applies(&service, event).await;
        let now = person.account(&service).await;
        assert_eq!(now.refresh.as_deref(), Some("refresh-7"));
        assert_eq!(now.scopes, ["email", "openid"]);
    }
}

// R27: no later event clears the time of the disconnect.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_after_a_reconnect_does_not_open_the_past() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.partial(0)).await;
    let account = person.account(&service).await.id;
    disconnect(&service, account, 5).await;
    person.applies(&service, person.connects(7)).await;
    // A plain sign-in does not change what was connected deliberately...
    person.applies(&service, person.sign_in(8)).await;
    let kept = person.account(&service).await;
    assert_eq!(kept.refresh.as_deref(), Some("refresh-7"));
    // ... but repairs it once the provider has refused it.
    execute(
        &service,
        "UPDATE vault.credential SET auth_failed_at = to_timestamp(1795392010)",
    )
    .await;
    person.applies(&service, person.sign_in(9)).await;
    assert!(person.account(&service).await.dead);
    person.applies(&service, person.plain(12)).await;
    let repaired = person.account(&service).await;
    assert_eq!(repaired.refresh.as_deref(), Some("refresh-12"));
    for event in [person.sign_in(2), person.connects(3), person.sign_in(9)] {
        person.applies(&service, event).await;
        let now = person.account(&service).await;
        assert_eq!(now.refresh.as_deref(), Some("refresh-12"));
    }
}

// R22: an account was disconnected and connected again before the event of the
// disconnect arrived. Its channels start with the connection, and the late event stops
// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_of_a_disconnect_that_a_connection_overtook_stops_nothing() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    erase(&service, account, 5).await;
    person.applies(&service, person.connects(7)).await;
    let notice = EventId::generate();
    service
        .publish(notice, &disconnected_event(account, 5))
        .await;
    applied(&service, notice).await;
    let now = person.account(&service).await;
    assert!(!now.disconnected);
    let found = channels(&service, account).await;
    assert!(found.iter().all(|channel| channel.status == "ONGOING"));
    assert!(found.iter().all(|channel| channel.jobs == 2));
}
