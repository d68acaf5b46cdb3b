//! A simulated Kubernetes cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use latchkey_domain::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

pub const ISSUER: &str = "https://kubernetes.default.svc";
pub const AUDIENCE: &str = "latchkey";
pub const ACCOUNT: &str = "system:serviceaccount:sync:mail";

/// A cluster that signs tokens and publishes its keys.
pub struct Cluster {
    pub key: EncodingKey,
    pub keys: NamedTempFile,
    /// Number of requests for the keys.
    pub asked: Arc<AtomicU32>,
}

impl Cluster {
    pub fn new() -> Self {
        let cluster = Self {
            key: new_key(),
            keys: NamedTempFile::new().unwrap(),
            asked: Arc::default(),
        };
        cluster.publish("k1", &cluster.key);
        cluster
    }

    pub fn publish(&self, id: &str, key: &EncodingKey) {
        let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(id.to_owned());
        let set = JwkSet { keys: vec![jwk] };
        std::fs::write(self.keys.path(), serde_json::to_string(&set).unwrap()).unwrap();
    }

    pub fn token(&self, change: &Value) -> String {
        sign(&self.key, &header("k1"), &claims(change))
    }

    /// Publishes the keys over HTTP like the Kubernetes API, which requires a token.
    /// Returns the address.
    pub async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (keys, asked) = (self.keys.path().to_owned(), Arc::clone(&self.asked));
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let read = socket.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
                let body = std::fs::read_to_string(&keys).unwrap();
                let status = if request.contains("authorization: bearer of-the-service") {
                    "200 OK"
                } else {
                    "401 Unauthorized"
                };
                let length = body.len();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
                socket.write_all(answer.as_bytes()).await.unwrap();
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
        address
    }
}

pub fn new_key() -> EncodingKey {
    let pair = rcgen::KeyPair::generate().unwrap();
    EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap()
}

pub fn header(id: &str) -> Header {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(id.to_owned());
    header
}

pub fn sign(key: &EncodingKey, header: &Header, claims: &Value) -> String {
    encode(header, claims, key).unwrap()
}

/// Claims as Kubernetes writes them, with changes.
pub fn claims(change: &Value) -> Value {
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
