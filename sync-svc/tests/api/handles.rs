//! Whether the address of an account is verified (R19).

use latchkey_proto::account::GetAccountRequest;
use latchkey_proto::events::{AccountConnected, UserAuthenticated};
use prost::Message as _;

use crate::support::person::{Person, execute, published};
use crate::support::service::TestService;

/// A sign-in with this address.
fn with(person: &Person, second: i64, handle: &str, verified: Option<bool>) -> UserAuthenticated {
    let mut event = person.sign_in(second);
    let identity = event.identity.as_mut().unwrap();
    handle.clone_into(&mut identity.handle);
    identity.handle_verified = verified;
    event
}

/// The handle and the verified handle. Account and credential have to agree.
async fn handles(service: &TestService) -> (String, Option<String>) {
    let (own, held): ((String, Option<String>), (String, Option<String>)) = {
        let row: (String, Option<String>, String, Option<String>) = sqlx::query_as(
            "SELECT a.handle, a.vouched_handle, c.handle, c.vouched_handle
             FROM sync.connected_account a JOIN vault.credential c ON c.account_id = a.id",
        )
        .fetch_one(service.database.pool())
        .await
        .unwrap();
        ((row.0, row.1), (row.2, row.3))
    };
    assert_eq!(own, held);
    own
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_sign_in_decides_whether_an_address_is_verified() {
    let service = TestService::start().await;
    let person = Person::new();
    let tim = "tim@apple.dev";
    let vouched = (tim.to_owned(), Some(tim.to_owned()));
    let unvouched = (tim.to_owned(), None);
    person
        .applies(&service, with(&person, 10, tim, Some(false)))
        .await;
    assert_eq!(handles(&service).await, unvouched);
    // An older sign-in changes nothing.
    person
        .applies(&service, with(&person, 5, tim, Some(true)))
        .await;
    assert_eq!(handles(&service).await, unvouched);
    person
        .applies(&service, with(&person, 20, tim, Some(true)))
        .await;
    assert_eq!(handles(&service).await, vouched);
    // A narrower grant is not stored, but its statement about the address is.
    let mut narrow = person.plain(30);
    narrow.identity.as_mut().unwrap().handle_verified = Some(false);
    person.applies(&service, narrow).await;
    assert_eq!(handles(&service).await, unvouched);
    person
        .applies(&service, with(&person, 40, tim, Some(true)))
        .await;
    // An event of an older publisher does not say: the same address stays verified, and
    // another address is not.
    person.applies(&service, with(&person, 50, tim, None)).await;
    assert_eq!(handles(&service).await, vouched);
    person
        .applies(&service, with(&person, 60, "victim@apple.dev", None))
        .await;
    let (handle, vouched_handle) = handles(&service).await;
    assert_eq!(handle, "victim@apple.dev");
    assert_ne!(vouched_handle, Some(handle));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_shows_whether_its_address_is_verified() {
    let service = TestService::start().await;
    let person = Person::new();
    let mut client = service.client().await;
    for (second, verified) in [(0, false), (10, true)] {
        person
            .applies(
                &service,
                with(&person, second, "tim@apple.dev", Some(verified)),
            )
            .await;
        let account_id = person.account(&service).await.id.to_string();
        let answer = client.get_account(GetAccountRequest { account_id }).await;
        let account = answer.unwrap().into_inner().account.unwrap();
        assert_eq!(account.handle_verified, Some(verified));
    }
    // A writer that does not know the column changes the address alone.
    execute(
        &service,
        "UPDATE sync.connected_account SET handle = 'victim@apple.dev'",
    )
    .await;
    let account_id = person.account(&service).await.id.to_string();
    let answer = client.get_account(GetAccountRequest { account_id }).await;
    let account = answer.unwrap().into_inner().account.unwrap();
    assert_eq!(account.handle_verified, Some(false));

    published(&service).await;
    let reported: Vec<Option<bool>> = service
        .observed()
        .await
        .into_iter()
        .filter(|(kind, _)| kind == "account.connected.v1")
        .map(|(_, body)| AccountConnected::decode(body.as_slice()).unwrap())
        .map(|event| event.identity.unwrap().handle_verified)
        .collect();
    assert_eq!(reported, [Some(false), Some(true)]);
}

// R7: one domain, one handle.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_an_international_domain_is_stored_in_its_ascii_form() {
    let service = TestService::start().await;
    let person = Person::new();
    person
        .applies(&service, with(&person, 0, "Tim@Bücher.example", Some(true)))
        .await;
    let ascii = "tim@xn--bcher-kva.example".to_owned();
    assert_eq!(handles(&service).await, (ascii.clone(), Some(ascii)));
}
