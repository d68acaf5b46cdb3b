//! A provider that costs nothing: it answers a token request with a response that was signed
//! before.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_demo_provider::SigningKey;
use latchkey_domain::{Clock as _, SystemClock};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testbed::token_text;

/// How long an idle connection stays open, which is longer than auth-svc keeps one.
const KEEP_ALIVE: Duration = Duration::from_mins(2);
/// Lifetime of the tokens in seconds.
const LIFETIME: i64 = 3_600;

/// Who signs in, and with which authorization request.
#[derive(Debug)]
pub struct Authorization<'a> {
    /// Address of the person, which is the subject too.
    pub handle: &'a str,
    /// `client_id` of the request.
    pub client_id: &'a str,
    /// `nonce` of the request.
    pub nonce: &'a str,
    /// `scope` of the request, all of which is granted.
    pub scope: &'a str,
}

/// The provider. It stops when it is dropped.
pub struct InstantProvider {
    shared: web::Data<Shared>,
    server: ServerHandle,
}

struct Shared {
    issuer: String,
    key: SigningKey,
    /// The bodies of token responses by code.
    responses: Mutex<HashMap<String, web::Bytes>>,
}

impl Shared {
    fn responses(&self) -> MutexGuard<'_, HashMap<String, web::Bytes>> {
        self.responses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl InstantProvider {
    /// Starts it on a free port.
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let shared = web::Data::new(Shared {
            issuer: format!("http://{}", listener.local_addr()?),
            key: SigningKey::ec()?,
            responses: Mutex::default(),
        });
        let served = shared.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(served.clone())
                .route(
                    "/.well-known/openid-configuration",
                    web::get().to(discovery),
                )
                .route("/jwks", web::get().to(jwks))
                .route("/token", web::post().to(token))
        })
        .workers(1)
        .keep_alive(KEEP_ALIVE)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self {
            shared,
            server: handle,
        })
    }

    /// Returns the issuer.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Signs the response for a person. Returns the authorization code for it.
    pub fn authorize(&self, authorization: &Authorization<'_>) -> anyhow::Result<String> {
        let code = Uuid::new_v4().simple().to_string();
        let body = json!({
            "access_token": token_text(0),
            "refresh_token": format!("refresh-{code}"),
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            "scope": authorization.scope,
            "id_token": self.id_token(authorization)?,
        });
        let body = web::Bytes::from(serde_json::to_vec(&body)?);
        self.shared.responses().insert(code.clone(), body);
        Ok(code)
    }

    fn id_token(&self, authorization: &Authorization<'_>) -> anyhow::Result<String> {
        let key = &self.shared.key;
        let now = SystemClock.now().unix_timestamp();
        let name = authorization.handle.split('@').next();
        let header = json!({ "typ": "JWT", "alg": key.algorithm(), "kid": key.id });
        let claims = json!({
            "iss": self.shared.issuer,
            "aud": authorization.client_id,
            "sub": authorization.handle,
            "nonce": authorization.nonce,
            "iat": now,
            "exp": now + LIFETIME,
            "email": authorization.handle,
            "email_verified": true,
            "name": name.context("an address has a name")?,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }
}

impl Drop for InstantProvider {
    fn drop(&mut self) {
        // The command is sent at once. The future only waits for its confirmation.
        drop(self.server.stop(false));
    }
}

async fn discovery(shared: web::Data<Shared>) -> HttpResponse {
    let issuer = &shared.issuer;
    HttpResponse::Ok().json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [shared.key.algorithm()],
        "code_challenge_methods_supported": ["S256"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "scopes_supported": ["openid", "email", "profile", "offline_access"],
    }))
}

async fn jwks(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "keys": [shared.key.jwk()] }))
}

async fn token(
    shared: web::Data<Shared>,
    form: web::Form<HashMap<String, String>>,
) -> HttpResponse {
    if form
        .get("grant_type")
        .is_some_and(|grant| grant == "refresh_token")
    {
        // The refresh token stays valid.
        return HttpResponse::Ok().json(json!({
            "access_token": token_text(0), "token_type": "Bearer", "expires_in": LIFETIME,
        }));
    }
    let response = form
        .get("code")
        .and_then(|code| shared.responses().remove(code));
    match response {
        Some(body) => HttpResponse::Ok()
            .content_type("application/json")
            .insert_header(("Cache-Control", "no-store"))
            .body(body),
        None => HttpResponse::BadRequest().json(json!({ "error": "invalid_grant" })),
    }
}
