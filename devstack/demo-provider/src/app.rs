//! The state that all handlers share.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::held_answer::HeldAnswer;
use crate::state::State;
use crate::{Config, Endpoint, Fault, Flavour};

/// The socket of a connection, with which a fault closes it without a response.
pub(crate) struct Socket(pub TcpStream);

pub(crate) struct App {
    pub config: Config,
    /// Where the provider listens.
    pub address: SocketAddr,
    /// The public URL without a slash at its end.
    pub base: String,
    state: Mutex<State>,
}

/// Flavour and tenant in the path of a request.
#[derive(Debug, Clone)]
pub(crate) struct Realm {
    pub flavour: Flavour,
    /// Only Microsoft's: `common`, `organizations`, `consumers` or the id of a tenant.
    pub tenant: Option<String>,
}

impl Realm {
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        let path = request.match_info();
        match path.get("tenant") {
            Some(tenant) => Some(Self {
                flavour: Flavour::Microsoft,
                tenant: Some(tenant.to_owned()),
            }),
            None => Some(Self {
                flavour: Flavour::of_path(path.get("flavour")?)?,
                tenant: None,
            }),
        }
    }
}

impl App {
    pub(crate) fn new(config: Config, address: SocketAddr, state: State) -> Arc<Self> {
        Arc::new(Self {
            base: config.base_url(address),
            config,
            address,
            state: Mutex::new(state),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> i64 {
        self.config.clock.now().unix_timestamp()
    }

    /// Returns the issuer of the tokens. Microsoft's issuer contains the tenant of the person.
    pub(crate) fn issuer(&self, flavour: Flavour, tenant: &str) -> String {
        match flavour {
            Flavour::Google | Flavour::Oidc => format!("{}/{}", self.base, flavour.name()),
            Flavour::Microsoft => format!("{}/microsoft/{tenant}/v2.0", self.base),
        }
    }

    /// Returns the variables for the services, without those that enable mail and calendar.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let base = &self.base;
        let mut variables = BTreeMap::new();
        let mut set = |name: &str, value: String| {
            variables.insert(name.to_owned(), value);
        };
        for provider in ["GOOGLE", "MICROSOFT", "OIDC_DEMO"] {
            set(
                &format!("AUTH_{provider}_CLIENT_ID"),
                self.config.client_id.clone(),
            );
            set(
                &format!("AUTH_{provider}_CLIENT_SECRET"),
                self.config.client_secret.clone(),
            );
        }
        set("AUTH_GOOGLE_ENABLED", "true".to_owned());
        set("AUTH_GOOGLE_ISSUER", format!("{base}/google"));
        set("AUTH_MICROSOFT_ENABLED", "true".to_owned());
        set("AUTH_MICROSOFT_AUTHORITY", format!("{base}/microsoft"));
        set("AUTH_OIDC_DEMO_ISSUER", format!("{base}/oidc"));
        set("AUTH_OIDC_DEMO_LABEL", "Demo OpenID".to_owned());
        variables
    }

    /// Counts the request and handles it, unless a queued fault is for it. Holds the response if
    /// somebody waits for that, and compresses it if that is switched on.
    pub(crate) async fn serve(
        &self,
        request: &HttpRequest,
        realm: &Realm,
        endpoint: Endpoint,
        grant_type: Option<&str>,
        work: impl FnOnce() -> HttpResponse,
    ) -> HttpResponse {
        let fault = {
            let mut state = self.state();
            state.count(realm.flavour, endpoint, grant_type);
            Fault::take(&mut state.faults, endpoint, realm.flavour, grant_type)
        };
        let response = match fault {
            Some(fault) => apply(fault, request, work).await,
            None => work(),
        };
        let held = {
            let mut state = self.state();
            HeldAnswer::take(&mut state.held_answers, endpoint, realm.flavour, grant_type)
        };
        if let Some(held) = held {
            held.released().await;
        }
        let takes_gzip = request
            .headers()
            .get(ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("gzip"));
        if takes_gzip && self.state().settings.compressed {
            compressed(response)
        } else {
            response
        }
    }
}

/// Handles a request with a fault.
async fn apply(
    fault: Fault,
    request: &HttpRequest,
    work: impl FnOnce() -> HttpResponse,
) -> HttpResponse {
    let delay = actix_web::rt::time::sleep(Duration::from_millis(fault.delay_ms));
    if !fault.reset && fault.status.is_none() {
        delay.await;
        return work();
    }
    if fault.after_work {
        work();
    }
    delay.await;
    if fault.reset {
        if let Some(Socket(socket)) = request.conn_data::<Socket>() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        return HttpResponse::InternalServerError().finish();
    }
    let status = fault
        .status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if !fault
        .headers
        .keys()
        .any(|name| name.eq_ignore_ascii_case("content-type"))
    {
        let kind = if fault.body.trim_start().starts_with('<') {
            "text/html; charset=utf-8"
        } else {
            "application/json"
        };
        response.content_type(kind);
    }
    for (name, value) in &fault.headers {
        response.insert_header((name.as_str(), value.as_str()));
    }
    response.body(fault.body)
}

/// Returns the response with its body compressed.
fn compressed(response: HttpResponse) -> HttpResponse {
    let (response, body) = response.into_parts();
    let body = body.try_into_bytes().unwrap_or_default();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let encoded = encoder.write_all(&body).and_then(|()| encoder.finish());
    let Ok(encoded) = encoded else {
        return HttpResponse::InternalServerError().finish();
    };
    let mut response = response.set_body(BoxBody::new(encoded));
    response
        .headers_mut()
        .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}
