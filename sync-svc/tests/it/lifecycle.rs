use latchkey_domain::EventId;
use latchkey_proto::events::{AccountDisconnected, AccountReauthRequired};

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

    execute(&stack, "UPDATE vault.credential SET auth_failed_at = now()").await;
    person.applies(&stack, person.sign_in(20)).await;
    let found = channels(&stack, account).await;
    assert!(found.iter().all(|channel| channel.status == "ONGOING"));
    assert!(found.iter().all(|channel| channel.jobs == 2));
}

// R37
#[tokio::test(flavor = "multi_thread")]
async fn a_disconnected_account_stops_and_only_a_later_sign_in_connects_it_again() {
    let stack = Stack::start().await;
    let person = Person::new();
    person.applies(&stack, person.sign_in(0)).await;
    let account = person.account(&stack).await.id;
    execute(
        &stack,
        "UPDATE vault.credential SET erased_at = to_timestamp(1795392020),
             sealed_access_token = NULL, sealed_refresh_token = NULL",
    )
    .await;
    let notice = EventId::generate();
    let fact = AccountDisconnected {
        account_id: account.to_string(),
        disconnected_at: Some(at(20)),
        ..AccountDisconnected::default()
    };
    stack.publish(notice, &fact).await;
    applied(&stack, notice).await;
    assert!(person.account(&stack).await.disconnected);
    let found = channels(&stack, account).await;
    for channel in &found {
        assert_eq!(channel.shows(), ("NOT_SYNCED", "PENDING_CONFIGURATION"));
    }

    // A sign-in from before the disconnection that comes late.
    person.applies(&stack, person.sign_in(15)).await;
    let still = person.account(&stack).await;
    assert!(still.disconnected && still.access.is_none());

    person.applies(&stack, person.sign_in(30)).await;
    let again = person.account(&stack).await;
    assert!(!again.disconnected);
    assert_eq!(again.id, account);
    let found = channels(&stack, account).await;
    assert!(found.iter().all(|channel| channel.status == "ONGOING"));

    // The notice that is told again, with another id, is superseded.
    let repeated = EventId::generate();
    stack.publish(repeated, &fact).await;
    applied(&stack, repeated).await;
    assert!(!person.account(&stack).await.disconnected);
}
