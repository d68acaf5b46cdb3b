//! A failure that is specific to one replica does not block the account on others.

use latchkey_demo_provider::Flavour;
use latchkey_opening::OpeningKey;
use secrecy::ExposeSecret as _;

use crate::support::{World, refusal};

/// One replica has the given variables, another one does not. Requests a token from
/// both, first from the failing one.
async fn only_one_replica_fails(variables: &[(&str, &str)], flavour: Flavour, reason: &str) {
    let mut world = World::uncached().await;
    let (_working, there) = world.served().await;
    for (name, value) in variables {
        world = world.with(name, value);
    }
    let (_failing, here) = world.served().await;
    let account = world.expired(flavour).await;
    for _ in 0..3 {
        assert_eq!(refusal(here.get(account.id).await).reason, reason);
    }
    let stored = world.stored(&account).await;
    assert_eq!((stored.failure_class, stored.failure_count), (None, 0));
    assert_eq!((stored.lease_holder, stored.intent_count), (None, 0));

    assert_eq!(there.get(account.id).await.unwrap().version, 2);
    // Each replica acquired the lease once: the back-off is kept in memory.
    assert_eq!(world.stored(&account).await.lease_epoch, 2);
}

#[tokio::test]
async fn a_key_that_one_replica_lacks_blocks_the_account_on_no_other() {
    let other = OpeningKey::generate().unwrap().to_secret_text();
    let keys = [("SEALING_PRIVATE_KEYS", other.expose_secret())];
    only_one_replica_fails(&keys, Flavour::Oidc, "UNSEAL_FAILED").await;
}

#[tokio::test]
async fn a_provider_that_one_replica_lacks_blocks_the_account_on_no_other() {
    let variables = [
        ("AUTH_GOOGLE_ENABLED", "false"),
        ("MESSAGING_PROVIDER_GMAIL_ENABLED", "false"),
    ];
    only_one_replica_fails(&variables, Flavour::Google, "CLIENT_MISCONFIGURED").await;
}

#[tokio::test]
async fn a_network_that_one_replica_lacks_blocks_the_account_on_no_other() {
    // No server listens there.
    let variables = [("AUTH_GOOGLE_ISSUER", "http://127.0.0.1:1/google")];
    only_one_replica_fails(&variables, Flavour::Google, "NETWORK").await;
}

// An operator changes the client secret of one replica after the other.
#[tokio::test]
async fn a_client_secret_that_one_replica_lacks_blocks_the_account_on_no_other() {
    let variables = [("AUTH_GOOGLE_CLIENT_SECRET", "of before")];
    only_one_replica_fails(&variables, Flavour::Google, "CLIENT_MISCONFIGURED").await;
}
