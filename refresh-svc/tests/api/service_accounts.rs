//! Kubernetes service accounts as callers (R36).

use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use latchkey_demo_provider::Flavour;
use latchkey_domain::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use crate::support::cluster::{ACCOUNT, AUDIENCE, Cluster, ISSUER, claims, header, new_key, sign};
use crate::support::{
    Account, Client, PolicyFile, Replica, Token, World, asking, eventually, everything, refusal,
    within,
};

async fn world(by: &str, cluster: &Cluster, policy: &PolicyFile) -> World {
    World::new()
        .await
        .with_policy(policy)
        .with("CALLERS_BY", by)
        .with("CALLER_JWKS_FILE", cluster.keys.path().to_str().unwrap())
        .with("CALLER_TOKEN_ISSUER", ISSUER)
        .with("CALLER_TOKEN_AUDIENCE", AUDIENCE)
}

/// The same with the keys at a URL.
async fn world_at(cluster: &Cluster, policy: &PolicyFile) -> World {
    let address = cluster.serve().await;
    world("token", cluster, policy)
        .await
        .with("CALLER_JWKS_FILE", "")
        .with(
            "CALLER_JWKS_URL",
            &format!("http://{address}/openid/v1/jwks"),
        )
        .with("CALLER_JWKS_TOKEN", "of-the-service")
}

/// A replica, an account with a valid token, and a client without a certificate.
async fn asked_by_token(world: &World) -> (Replica, Account, Client) {
    let replica = world.replica();
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let client = Client::without_certificate(replica.grpc, &world.certificates);
    (replica, account, client)
}

async fn ask(client: &Client, account: impl ToString, authorization: &str) -> Result<(), Status> {
    let mut request = Request::new(asking(&account));
    let value = authorization.parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    client.0.clone().get_access_token(request).await.map(drop)
}

// R36
#[tokio::test]
async fn a_service_account_is_a_caller_without_a_certificate() {
    let (cluster, policy) = (Cluster::new(), PolicyFile::new(&everything(ACCOUNT)));
    let world = world("token", &cluster, &policy).await;
    let (_replica, account, client) = asked_by_token(&world).await;

    let bearer = format!("Bearer {}", cluster.token(&json!({})));
    ask(&client, account.id, &bearer).await.unwrap();
    // The second answer comes from the cache.
    ask(&client, account.id, &bearer).await.unwrap();
    let other = cluster.token(&json!({"sub": "system:serviceaccount:sync:other"}));
    let refused = ask(&client, account.id, &format!("Bearer {other}")).await;
    assert_eq!(refusal(refused).reason, "CALLER_NOT_ALLOWED");

    let rows = world.audited(3).await;
    assert_eq!(
        (rows[0].caller.as_str(), rows[0].outcome.as_str()),
        (ACCOUNT, "GIVEN")
    );
    assert_eq!(rows[2].caller, "system:serviceaccount:sync:other");
}

// R36
#[tokio::test]
async fn an_invalid_token_identifies_no_caller() {
    let (cluster, policy) = (Cluster::new(), PolicyFile::new(&everything(ACCOUNT)));
    let world = world("token", &cluster, &policy).await;
    let (_replica, account, client) = asked_by_token(&world).await;

    let now = SystemClock.now().unix_timestamp();
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!(
        "{}.{}.",
        part(&json!({"alg": "none", "kid": "k1"})),
        part(&claims(&json!({})))
    );
    let mut symmetric = Header::new(Algorithm::HS256);
    symmetric.kid = Some("k1".to_owned());
    let secret = EncodingKey::from_secret(&std::fs::read(cluster.keys.path()).unwrap());
    let of_unknown_key = header("k2");
    let good = cluster.token(&json!({}));
    let bad = [
        ("wrong audience", cluster.token(&json!({"aud": ["other"]}))),
        ("no audience", cluster.token(&json!({"aud": []}))),
        (
            "wrong issuer",
            cluster.token(&json!({"iss": "https://other"})),
        ),
        ("expired", cluster.token(&json!({"exp": now - 60}))),
        ("not valid yet", cluster.token(&json!({"nbf": now + 60}))),
        ("a person", cluster.token(&json!({"sub": "ada"}))),
        (
            "another kind of subject",
            cluster.token(&json!({"sub": "spiffe://acme.example/mail"})),
        ),
        ("unsigned", unsigned),
        (
            "signed with what is public",
            sign(&secret, &symmetric, &claims(&json!({}))),
        ),
        (
            "another key",
            sign(&new_key(), &header("k1"), &claims(&json!({}))),
        ),
        (
            "an unknown key",
            sign(&cluster.key, &of_unknown_key, &claims(&json!({}))),
        ),
        ("cut off", good[..good.len() - 4].to_owned()),
        ("nothing", String::new()),
    ];
    for (what, token) in &bad {
        let refused = refusal(ask(&client, account.id, &format!("Bearer {token}")).await);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Unauthenticated, "CALLER_UNKNOWN"),
            "{what}"
        );
    }
    assert_eq!(
        refusal(client.get(account.id).await).reason,
        "CALLER_UNKNOWN"
    );
    let rows = world.audited(bad.len() + 1).await;
    assert!(
        rows.iter()
            .all(|row| row.outcome == "REFUSED" && row.account_id.is_none())
    );
}

// R36
#[tokio::test]
async fn tokens_of_a_removed_cluster_key_are_refused() {
    let (cluster, policy) = (Cluster::new(), PolicyFile::new(&everything(ACCOUNT)));
    let world = world("token", &cluster, &policy).await;
    let (_replica, account, client) = asked_by_token(&world).await;
    let bearer = format!("Bearer {}", cluster.token(&json!({})));
    ask(&client, account.id, &bearer).await.unwrap();

    let next = new_key();
    cluster.publish("k1", &next);
    eventually(async || ask(&client, account.id, &bearer).await.err()).await;
    let bearer = format!("Bearer {}", sign(&next, &header("k1"), &claims(&json!({}))));
    ask(&client, account.id, &bearer).await.unwrap();
}

// R36
#[tokio::test]
async fn keys_may_come_from_a_url() {
    let (cluster, policy) = (Cluster::new(), PolicyFile::new(&everything(ACCOUNT)));
    let world = world_at(&cluster, &policy).await;
    let (_replica, account, client) = asked_by_token(&world).await;
    let bearer = format!("Bearer {}", cluster.token(&json!({})));
    eventually(async || ask(&client, account.id, &bearer).await.ok()).await;
}

// R36: a token of an unknown key causes one request to the URL, regardless of how many
// follow soon. An unreadable answer changes nothing.
#[tokio::test]
async fn keys_from_a_url_rotate_and_the_last_ones_stay_while_it_fails() {
    const ASKED_AGAIN: Duration = Duration::from_secs(20);
    let (cluster, policy) = (Cluster::new(), PolicyFile::new(&everything(ACCOUNT)));
    let world = world_at(&cluster, &policy).await;
    let (_replica, account, client) = asked_by_token(&world).await;
    let of = |id: &str, key: &EncodingKey| {
        let token = sign(key, &header(id), &claims(&json!({})));
        format!("Bearer {token}")
    };
    let old = of("k1", &cluster.key);
    eventually(async || ask(&client, account.id, &old).await.ok()).await;

    let next = new_key();
    cluster.publish("k2", &next);
    let new = of("k2", &next);
    within(ASKED_AGAIN, async || {
        ask(&client, account.id, &new).await.ok()
    })
    .await;
    // Requested once at the start and once for all tokens of the new key.
    assert_eq!(cluster.asked.load(Ordering::SeqCst), 2);
    let refused = refusal(ask(&client, account.id, &old).await);
    assert_eq!(refused.reason, "CALLER_UNKNOWN");

    std::fs::write(cluster.keys.path(), "<html>maintenance").unwrap();
    within(ASKED_AGAIN, async || {
        assert!(ask(&client, account.id, &old).await.is_err());
        (cluster.asked.load(Ordering::SeqCst) == 3).then_some(())
    })
    .await;
    ask(&client, account.id, &new).await.unwrap();
}

// R36
#[tokio::test]
async fn certificate_and_token_may_be_asked_for_together_or_either() {
    let (cluster, policy) = (Cluster::new(), PolicyFile::new(""));
    policy.write(&format!(
        "{}{}",
        everything(ACCOUNT),
        everything("test-client")
    ));
    let good = format!("Bearer {}", cluster.token(&json!({})));
    let bad = format!("Bearer {}", cluster.token(&json!({"aud": ["other"]})));

    let both = world("both", &cluster, &policy).await;
    let (replica, client) = both.served().await;
    let account = both
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    ask(&client, account.id, &good).await.unwrap();
    assert_eq!(
        refusal(client.get(account.id).await).reason,
        "CALLER_UNKNOWN"
    );
    let bare = Client::without_certificate(replica.grpc, &both.certificates);
    assert!(ask(&bare, account.id, &good).await.is_err());

    let either = world("either", &cluster, &policy).await;
    let (replica, client) = either.served().await;
    let account = either
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    client.get(account.id).await.unwrap();
    let bare = Client::without_certificate(replica.grpc, &either.certificates);
    ask(&bare, account.id, &good).await.unwrap();
    assert_eq!(refusal(bare.get(account.id).await).reason, "CALLER_UNKNOWN");
    // A certificate does not compensate for an invalid token.
    assert_eq!(
        refusal(ask(&client, account.id, &bad).await).reason,
        "CALLER_UNKNOWN"
    );
}
