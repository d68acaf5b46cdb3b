//! The client and the end of a grant, and the refresh tokens that it replaces.

use sqlx::types::time::OffsetDateTime;

use crate::support::person::{Person, at};
use crate::support::service::TestService;

#[derive(sqlx::FromRow)]
struct Row {
    client_id: Option<String>,
    client_known: Option<bool>,
    refresh_token_expires_at: Option<OffsetDateTime>,
    end_known: Option<bool>,
    renewed_half_way: Option<bool>,
}

async fn row(service: &TestService) -> Row {
    sqlx::query_as(
        "SELECT client_id, client_version = version AS client_known, refresh_token_expires_at,
                refresh_token_version = version AS end_known,
                renew_at > now() + (refresh_token_expires_at - now()) / 3
                    AND renew_at < refresh_token_expires_at AS renewed_half_way
         FROM vault.credential",
    )
    .fetch_one(service.database.pool())
    .await
    .unwrap()
}

/// The kept refresh tokens, the oldest first.
async fn kept(service: &TestService) -> Vec<String> {
    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT sealed_refresh_token FROM vault.replaced_grant ORDER BY id")
            .fetch_all(service.database.pool())
            .await
            .unwrap();
    kept.into_iter()
        .map(|token| String::from_utf8(token).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_and_the_end_of_a_grant_are_known_from_the_sign_in_on() {
    let mut service = TestService::start().await;
    let person = Person::new();
    let mut event = person.sign_in(0);
    let grant = event.connection.as_mut().unwrap().grant.as_mut().unwrap();
    grant.refresh_token_expires_at = Some(at(2_900_000_000));
    person.applies(&service, event).await;
    let first = row(&service).await;
    assert_eq!(first.client_id.as_deref(), Some("client"));
    assert_eq!(first.client_known, Some(true));
    let end = first.refresh_token_expires_at.unwrap();
    assert_eq!(end.unix_timestamp(), at(2_900_000_000).seconds);
    assert_eq!(
        (first.end_known, first.renewed_half_way),
        (Some(true), Some(true))
    );

    // A token without an expiry belongs to another grant.
    person.applies(&service, person.sign_in(1)).await;
    let second = row(&service).await;
    assert_eq!(second.client_known, Some(true));
    assert_eq!(second.refresh_token_expires_at, None);
    service.stop_replicas().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_refresh_token_is_kept() {
    let mut service = TestService::start().await;
    let person = Person::new();
    for second in 0..3 {
        person.applies(&service, person.sign_in(second)).await;
    }
    assert_eq!(kept(&service).await, ["refresh-0", "refresh-1"]);
    // An older one that arrives late is not stored, but the provider still accepts it.
    let mut late = person.sign_in(2);
    late.authenticated_at = Some(at(1));
    late.connection
        .as_mut()
        .unwrap()
        .grant
        .as_mut()
        .unwrap()
        .refresh_token = b"refresh-late".to_vec();
    person.applies(&service, late).await;
    assert_eq!(
        kept(&service).await.last().map(String::as_str),
        Some("refresh-late")
    );
    // The number is bounded.
    for second in 3..20 {
        person.applies(&service, person.sign_in(second)).await;
    }
    let kept = kept(&service).await;
    assert_eq!(kept.len(), 10);
    assert_eq!(kept.first().map(String::as_str), Some("refresh-9"));
    assert_eq!(kept.last().map(String::as_str), Some("refresh-18"));
    service.stop_replicas().await;
}
