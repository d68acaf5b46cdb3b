use latchkey_domain::EventId;
use latchkey_proto::events::{AccountDisconnected, AccountReauthRequired, Intent};

use crate::stack::Stack;
use crate::world::{Person, applied, at, channels, execute};

fn reauth(account: uuid::Uuid, second: i64) -> AccountReauthRequired {
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
    let stack = Stack::start().await;
    let person = Person::new();
    person.applies(&stack, person.sign_in(10)).await;
    let account = person.account(&stack).await.id;

    let stale = EventId::generate();
    stack.publish(stale, &reauth(account, 5)).await;
    applied(&stack, stale).await;
    let found = channels(&stack, account).await;
    assert!(found.iter().all(|channel| channel.status == "ONGOING"));

    // refresh-svc marks the row in the transaction of its event.
    execute(
        &stack,
        "UPDATE vault.credential SET auth_failed_at = to_timestamp(1795392012)",
    )
    .await;
    let notice = EventId::generate();
    stack.publish(notice, &reauth(account, 10)).await;
    applied(&stack, notice).await;
    let found = channels(&stack, account).await;
    for channel in &found {
        assert_eq!(
            channel.shows(),
            ("FAILED_INSUFFICIENT_PERMISSIONS", "FAILED")
        );
    }

    person.applies(&stack, person.sign_in(20)).await;
    let found = channels(&stack, account).await;
    assert!(found.iter().all(|channel| channel.status == "ONGOING"));
    assert!(found.iter().all(|channel| channel.jobs == 2));
}

/// Disconnects the account at this second as refresh-svc does, and tells of it.
async fn disconnect(stack: &Stack, account: uuid::Uuid, second: i64) {
    erase(stack, account, second).await;
    let notice = EventId::generate();
    stack.publish(notice, &gone(account, second)).await;
    applied(stack, notice).await;
}

async fn erase(stack: &Stack, account: uuid::Uuid, second: i64) {
    sqlx::query(
        "UPDATE vault.credential
         SET erased_at = to_timestamp(1795392000 + $2), sealed_access_token = NULL,
             sealed_refresh_token = NULL, version = version + 1
         WHERE account_id = $1",
    )
    .bind(account)
    .bind(second)
    .execute(stack.database.pool())
    .await
    .unwrap();
}

fn gone(account: uuid::Uuid, second: i64) -> AccountDisconnected {
    AccountDisconnected {
        account_id: account.to_string(),
        disconnected_at: Some(at(second)),
        ..AccountDisconnected::default()
    }
}

// R27, R37
#[tokio::test(flavor = "multi_thread")]
async fn only_a_later_deliberate_connection_revives_a_disconnected_account() {
    let stack = Stack::start().await;
    let person = Person::new();
    person.applies(&stack, person.sign_in(0)).await;
    let account = person.account(&stack).await.id;
    disconnect(&stack, account, 20).await;
    assert!(person.account(&stack).await.disconnected);
    let found = channels(&stack, account).await;
    for channel in &found {
        assert_eq!(channel.shows(), ("NOT_SYNCED", "PENDING_CONFIGURATION"));
    }

    // From before the disconnect, and late; then a plain sign-in after it.
    for event in [person.sign_in(15), person.connects(16), person.sign_in(30)] {
        person.applies(&stack, event).await;
        let still = person.account(&stack).await;
        assert!(still.disconnected && still.access.is_none() && still.refresh.is_none());
    }

    person.applies(&stack, person.connects(40)).await;
    let again = person.account(&stack).await;
    assert!(!again.disconnected);
    assert_eq!(again.id, account);
    assert_eq!(again.refresh.as_deref(), Some("refresh-40"));
    let found = channels(&stack, account).await;
    assert!(found.iter().all(|channel| channel.status == "ONGOING"));

    // The notice that is told again, with another id, is superseded.
    let repeated = EventId::generate();
    stack.publish(repeated, &gone(account, 20)).await;
    applied(&stack, repeated).await;
    assert!(!person.account(&stack).await.disconnected);
}

// R27: the account comes back narrower, and then a wide event from before the
// disconnect arrives.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_wider_event_never_brings_a_disconnected_mailbox_back() {
    let stack = Stack::start().await;
    let person = Person::new();
    person.applies(&stack, person.sign_in(0)).await;
    let account = person.account(&stack).await.id;
    disconnect(&stack, account, 5).await;
    let mut narrow = person.plain(7);
    narrow.intent = Intent::Connect.into();
    person.applies(&stack, narrow).await;
    for event in [person.sign_in(2), person.connects(3)] {
        person.applies(&stack, event).await;
        let now = person.account(&stack).await;
        assert_eq!(now.refresh.as_deref(), Some("refresh-7"));
        assert_eq!(now.scopes, ["email", "openid"]);
    }
}

// R27: nothing that follows clears the time of the disconnect.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_after_a_reconnect_does_not_open_the_past() {
    let stack = Stack::start().await;
    let person = Person::new();
    person.applies(&stack, person.partial(0)).await;
    let account = person.account(&stack).await.id;
    disconnect(&stack, account, 5).await;
    person.applies(&stack, person.connects(7)).await;
    // A plain sign-in does not change what was connected deliberately...
    person.applies(&stack, person.sign_in(8)).await;
    let kept = person.account(&stack).await;
    assert_eq!(kept.refresh.as_deref(), Some("refresh-7"));
    // ... but repairs it once the provider has refused it.
    execute(
        &stack,
        "UPDATE vault.credential SET auth_failed_at = to_timestamp(1795392010)",
    )
    .await;
    person.applies(&stack, person.sign_in(9)).await;
    assert!(person.account(&stack).await.dead);
    person.applies(&stack, person.plain(12)).await;
    let repaired = person.account(&stack).await;
    assert_eq!(repaired.refresh.as_deref(), Some("refresh-12"));
    for event in [person.sign_in(2), person.connects(3), person.sign_in(9)] {
        person.applies(&stack, event).await;
        let now = person.account(&stack).await;
        assert_eq!(now.refresh.as_deref(), Some("refresh-12"));
    }
}

// R22: the channels of an account that was disconnected while its notice was
// on the way start again with the connection, and the late notice stops nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_of_a_disconnect_that_a_connection_overtook_stops_nothing() {
    let stack = Stack::start().await;
    let person = Person::new();
    person.applies(&stack, person.sign_in(0)).await;
    let account = person.account(&stack).await.id;
    erase(&stack, account, 5).await;
    person.applies(&stack, person.connects(7)).await;
    let notice = EventId::generate();
    stack.publish(notice, &gone(account, 5)).await;
    applied(&stack, notice).await;
    let now = person.account(&stack).await;
    assert!(!now.disconnected);
    let found = channels(&stack, account).await;
    assert!(found.iter().all(|channel| channel.status == "ONGOING"));
    assert!(found.iter().all(|channel| channel.jobs == 2));
}
