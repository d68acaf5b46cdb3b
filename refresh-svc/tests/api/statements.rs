//! How many statements about an account a call takes. docs/performance.md has the numbers.

use latchkey_demo_provider::Flavour;
use latchkey_testkit::{Role, StatementRecorder};

use crate::support::{Token, World};

// R30 R31
#[tokio::test]
async fn a_refresh_takes_three_statements_and_a_cached_token_none() {
    let world = World::new().await;
    let url = world.database.url(Role::Refresh);
    let recorder = StatementRecorder::start(&url).await;
    let world = world.with("DATABASE_URL", &recorder.url(&url));
    let (_replica, client) = world.served().await;
    // A replica trusts its cache once it listens for changes.
    world.replicas_listen(1).await;
    let expired = world.expired(Flavour::Google).await;
    let valid = world
        .connect(Flavour::Microsoft, "ada", Token::Expires(3000))
        .await;
    for (what, most, account) in [
        ("a refresh", 3, &expired),
        ("the token of the refresh", 0, &expired),
        ("a token that is read", 1, &valid),
        ("the same again", 0, &valid),
    ] {
        recorder.take("");
        client.get(account.id).await.unwrap();
        let mut sent = recorder.take("vault.credential");
        sent.retain(|statement| statement.text.contains("account_id = $1"));
        assert!(sent.len() <= most, "{what}: {}, {sent:#?}", sent.len());
    }
}
