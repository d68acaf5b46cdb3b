//! R35: only refresh-svc can read a token, and only in memory.

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use latchkey_opening::{OpeningKey, key_id_of};
use latchkey_testkit::Role;
use secrecy::ExposeSecret as _;
use tonic::Code;

use crate::support::{Token, World, logged, refusal};

fn private(key: &OpeningKey) -> String {
    key.to_secret_text().expose_secret().to_owned()
}

// R35
#[tokio::test]
async fn no_token_is_in_a_log_or_in_the_database() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    for flavour in Flavour::ALL {
        let account = world.expired(flavour).await;
        client.get(account.id).await.unwrap();
        client.revoke(account.id).await.unwrap();
        let dead = world.expired(flavour).await;
        world.demo.revoke("ada", Some(flavour));
        assert!(client.get(dead.id).await.is_err());
        let echoed = world.expired(flavour).await;
        let echo = format!(
            r#"{{"error":"invalid_grant","error_description":"no such token: {}"}}"#,
            echoed.refresh_token
        );
        world
            .demo
            .inject(Fault::on(Endpoint::Token).answering(400, echo));
        assert!(client.get(echoed.id).await.is_err());
        let kept = world.connect(flavour, "ada", Token::Expires(3000)).await;
        client.get(kept.id).await.unwrap();
    }

    let log = logged();
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT encode(coalesce(sealed_access_token, ''), 'escape')
             || encode(coalesce(sealed_refresh_token, ''), 'escape') || credential::text
         FROM vault.credential
         UNION ALL
         SELECT encode(payload, 'escape') || outbox::text FROM vault.outbox",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert!(log.contains("token refreshed") && rows.len() > 6);
    let issued = world.demo.issued();
    assert!(issued.len() > 12);
    for issued in issued {
        assert!(
            !log.contains(&issued.token),
            "a {} is in the log",
            issued.kind
        );
        assert!(rows.iter().all(|row| !row.contains(&issued.token)));
    }
    let key = private(&world.key);
    let (_, secret) = key.split_once(':').unwrap();
    assert!(!log.contains(secret));
    assert!(!log.contains(world.demo.client_secret()));
}

// R35: keys rotate without downtime.
#[tokio::test]
async fn after_a_key_rotation_old_grants_open_and_new_ones_are_sealed_to_the_new_key() {
    let world = World::new().await;
    let account = world.expired(Flavour::Microsoft).await;
    let new = OpeningKey::generate().unwrap();
    let both = format!("{},{}", private(&new), private(&world.key));
    let world = world.with("SEALING_PRIVATE_KEYS", &both);
    let (_replica, client) = world.served().await;

    assert_eq!(client.get(account.id).await.unwrap().version, 2);

    let stored = world.stored(&account).await;
    for sealed in [stored.sealed_access_token, stored.sealed_refresh_token] {
        assert_eq!(key_id_of(&sealed.unwrap()).unwrap(), *new.id());
    }

    let mut out = Vec::new();
    refresh_svc::commands::check::check(&world.environment(), &mut out)
        .await
        .unwrap();
    let report = String::from_utf8(out).unwrap();
    assert!(
        report.contains(&format!("key {}: 2 tokens", new.id())),
        "{report}"
    );
    assert!(
        report.contains(&format!("key {}: 0 tokens", world.key.id())),
        "{report}"
    );
}

// R35
#[tokio::test]
async fn a_grant_sealed_to_a_lost_key_is_the_operators_error() {
    let world = World::new().await;
    let account = world.expired(Flavour::Google).await;
    let other = OpeningKey::generate().unwrap();
    let world = world.with("SEALING_PRIVATE_KEYS", &private(&other));
    let (_replica, client) = world.served().await;

    let refused = refusal(client.get(account.id).await);

    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::Internal, "UNSEAL_FAILED")
    );
    assert!(world.stored(&account).await.auth_failed_at.is_none());
    assert_eq!(world.demo.refreshes(Flavour::Google), 0);
    let check = refresh_svc::commands::check::check(&world.environment(), &mut Vec::new()).await;
    assert!(check.is_err());
}

// A pool alone would only say that it took too long.
#[tokio::test]
async fn a_command_names_the_server_that_refuses_the_connection() {
    let world = World::new().await;
    let nowhere = "postgres://somebody:s3cret@127.0.0.1:1/latchkey";
    let world = world.with("DATABASE_URL", nowhere);
    let check = refresh_svc::commands::check::check(&world.environment(), &mut Vec::new()).await;
    let error = check.unwrap_err().to_string();
    assert!(
        error.contains("connection refused by 127.0.0.1:1") && !error.contains("s3cret"),
        "{error}"
    );
}

#[tokio::test]
async fn a_command_names_the_role_that_may_not_do_it() {
    let world = World::new().await;
    let url = world.database.url(Role::Auth);
    let world = world.with("DATABASE_URL", &url);
    let check = refresh_svc::commands::check::check(&world.environment(), &mut Vec::new()).await;
    let error = check.unwrap_err().to_string();
    assert!(
        error.contains("permission denied") && error.contains("the role of DATABASE_URL"),
        "{error}"
    );
}

// R35: a row that was copied over another one cannot be opened.
#[tokio::test]
async fn a_grant_moved_to_another_account_does_not_open() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let victim = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let thief = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    sqlx::query(
        "UPDATE vault.credential thief
         SET sealed_access_token = victim.sealed_access_token,
             sealed_refresh_token = victim.sealed_refresh_token
         FROM vault.credential victim
         WHERE thief.account_id = $1 AND victim.account_id = $2",
    )
    .bind(thief.id.as_uuid())
    .bind(victim.id.as_uuid())
    .execute(world.pool())
    .await
    .unwrap();

    assert_eq!(refusal(client.get(thief.id).await).reason, "UNSEAL_FAILED");
    assert!(client.get(victim.id).await.is_ok());
}

// R40
#[tokio::test]
async fn a_wrong_variable_stops_the_start_and_is_named() {
    let world = World::new().await;
    let cases = [
        (
            "SEALING_PRIVATE_KEYS",
            "k1:tooshort",
            "SEALING_PRIVATE_KEYS",
        ),
        ("REFRESH_LEASE", "20s", "REFRESH_LEASE"),
        ("GRPC_LISTEN", "here", "GRPC_LISTEN"),
        ("DATABASE_URL", "not a url", "DATABASE_URL"),
    ];
    let mut world = world;
    for (name, value, named) in cases {
        world.variables = vec![(name.to_owned(), value.to_owned())];
        let error = refresh_svc::Config::from_environment(
            &world.environment(),
            std::sync::Arc::new(latchkey_domain::SystemClock),
        )
        .unwrap_err();
        let names: Vec<_> = error.iter().map(|error| error.name.as_str()).collect();
        assert_eq!(names, [named]);
        assert!(!error.to_string().contains("tooshort"));
    }
}
