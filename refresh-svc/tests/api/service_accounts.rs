//! Kubernetes service accounts as callers (R36).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use latchkey_demo_provider::Flavour;
use latchkey_domain::{Clock as _, SystemClock};
use latchkey_proto::token::GetAccessTokenRequest;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, Request, Status};

use crate::support::{Client, PolicyFile, Token, World, by_id, eventually, everything, refusal};

const ISSUER: &str = "https://kubernetes.default.svc";
const AUDIENCE: &str = "latchkey";
const ACCOUNT: &str = "system:serviceaccount:sync:mail";

/// A cluster: signs tokens and publishes its keys.
struct Cluster {
    key: EncodingKey,
    keys: NamedTempFile,
}

impl Cluster {
    fn new() -> Self {
        let cluster = Self {
            key: new_key(),
            keys: NamedTempFile::new().unwrap(),
        };
        cluster.publish(&cluster.key);
        cluster
    }

    fn publish(&self, key: &EncodingKey) {
        let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("k1".to_owned());
        let set = JwkSet { keys: vec![jwk] };
        std::fs::write(self.keys.path(), serde_json::to_string(&set).unwrap()).unwrap();
    }

    fn token(&self, change: &Value) -> String {
        sign(&self.key, &header(), &claims(change))
    }
}

fn new_key() -> EncodingKey {
    let pair = rcgen::KeyPair::generate().unwrap();
    EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap()
}

fn header() -> Header {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("k1".to_owned());
    header
}

fn sign(key: &EncodingKey, header: &Header, claims: &Value) -> String {
    encode(header, claims, key).unwrap()
}

/// Claims as Kubernetes writes them, with changes.
fn claims(change: &Value) -> Value {
    let now = SystemClock.now().unix_timestamp();
    let mut claims = json!({
        "iss": ISSUER, "aud": [AUDIENCE], "sub": ACCOUNT,
        "iat": now, "nbf": now, "exp": now + 600,
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

async fn world(by: &str, cluster: &Cluster, policy: &PolicyFile) -> World {
    World::new()
        .await
        .with_policy(policy)
        .with("CALLERS_BY", by)
        .with("CALLER_JWKS_FILE", cluster.keys.path().to_str().unwrap())
        .with("CALLER_TOKEN_ISSUER", ISSUER)
        .with("CALLER_TOKEN_AUDIENCE", AUDIENCE)
}

async fn ask(client: &Client, account: impl ToString, authorization: &str) -> Result<(), Status> {
    let mut request = Request::new(GetAccessTokenRequest {
        account: Some(by_id(account.to_string())),
        ..GetAccessTokenRequest::default()
    });
    let value = authorization.parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    client.0.clone().get_access_token(request).await.map(drop)
}

// R36
#[tokio::test]
async fn a_service_account_is_a_caller_without_a_certificate() {
    let (cluster, policy) = (Cluster::new(), PolicyFile::new(&everything(ACCOUNT)));
    let world = world("token", &cluster, &policy).await;
    let replica = world.replica();
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let client = Client::without_certificate(replica.grpc, &world.certificates);

    let bearer = format!("Bearer {}", cluster.token(&json!({})));
    ask(&client, account.id, &bearer).await.unwrap();
    // From memory as well.
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
async fn a_token_that_is_not_good_names_no_caller() {
    let (cluster, policy) = (Cluster::new(), PolicyFile::new(&everything(ACCOUNT)));
    let world = world("token", &cluster, &policy).await;
    let replica = world.replica();
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let client = Client::without_certificate(replica.grpc, &world.certificates);

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
    let mut of_unknown_key = header();
    of_unknown_key.kid = Some("k2".to_owned());
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
            sign(&new_key(), &header(), &claims(&json!({}))),
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
async fn a_key_that_the_cluster_takes_away_takes_its_tokens_with_it() {
    let (cluster, policy) = (Cluster::new(), PolicyFile::new(&everything(ACCOUNT)));
    let world = world("token", &cluster, &policy).await;
    let replica = world.replica();
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let client = Client::without_certificate(replica.grpc, &world.certificates);
    let bearer = format!("Bearer {}", cluster.token(&json!({})));
    ask(&client, account.id, &bearer).await.unwrap();

    let next = new_key();
    cluster.publish(&next);
    eventually(async || ask(&client, account.id, &bearer).await.err()).await;
    let bearer = format!("Bearer {}", sign(&next, &header(), &claims(&json!({}))));
    ask(&client, account.id, &bearer).await.unwrap();
}

// R36
#[tokio::test]
async fn keys_may_be_behind_an_address() {
    let (cluster, policy) = (Cluster::new(), PolicyFile::new(&everything(ACCOUNT)));
    let keys = std::fs::read_to_string(cluster.keys.path()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let read = socket.read(&mut asked).await.unwrap();
            let asked = String::from_utf8_lossy(&asked[..read]).to_lowercase();
            // As the Kubernetes API: not for those without a token.
            let answer = if asked.contains("authorization: bearer of-the-service") {
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}",
                    keys.len()
                )
            } else {
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned()
            };
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let world = world("token", &cluster, &policy)
        .await
        .with("CALLER_JWKS_FILE", "")
        .with(
            "CALLER_JWKS_URL",
            &format!("http://{address}/openid/v1/jwks"),
        )
        .with("CALLER_JWKS_TOKEN", "of-the-service");
    let replica = world.replica();
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let client = Client::without_certificate(replica.grpc, &world.certificates);
    let bearer = format!("Bearer {}", cluster.token(&json!({})));
    eventually(async || ask(&client, account.id, &bearer).await.ok()).await;
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
    // A token that is not good is not made good by a certificate.
    assert_eq!(
        refusal(ask(&client, account.id, &bad).await).reason,
        "CALLER_UNKNOWN"
    );
}
