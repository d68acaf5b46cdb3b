//! The routes and the server of the health port. Only services have one (feature
//! `health-server`); the command `latchkey` does without an HTTP server.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, Route, guard, web};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Check;
use crate::{BuildInfo, StartError};

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The checks of `/readyz`.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<Arc<dyn Check>>,
    reports: Vec<Arc<dyn Check>>,
    leaving: CancellationToken,
}

impl Readiness {
    /// Adds a required check.
    #[must_use]
    pub fn with(mut self, check: impl Check + 'static) -> Self {
        self.checks.push(Arc::new(check));
        self
    }

    /// After `leaving` is cancelled, the service is not ready, whatever the checks say.
    #[must_use]
    pub fn until(mut self, leaving: CancellationToken) -> Self {
        self.leaving = leaving;
        self
    }

    /// Adds a check that is reported and not required, for something that the service can do
    /// without for a while.
    #[must_use]
    pub fn reporting(mut self, check: impl Check + 'static) -> Self {
        self.reports.push(Arc::new(check));
        self
    }
}

#[derive(Serialize)]
struct Outcome {
    name: &'static str,
    ready: bool,
    /// `false` if the service can serve without it.
    required: bool,
}

/// Adds the three routes to an actix application.
pub fn routes(readiness: Readiness, build: BuildInfo) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            .app_data(web::Data::new(readiness))
            .app_data(web::Data::new(build))
            .route("/healthz", get_or_head().to(alive))
            .route("/readyz", get_or_head().to(ready))
            .route("/version", get_or_head().to(version));
    }
}

/// Some probes use HEAD (RFC 9110 section 9.1).
fn get_or_head() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// `/metrics`, for a port that is not public.
pub async fn metrics() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(crate::metrics::render())
}

/// `/healthz`.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "alive" }))
}

/// `/version`.
pub async fn version(build: web::Data<BuildInfo>) -> HttpResponse {
    HttpResponse::Ok().json(build.get_ref())
}

/// `/readyz`: 200 if every required check succeeds, else 503. The reasons are only logged, because
/// the endpoint may be public.
pub async fn ready(readiness: web::Data<Readiness>) -> HttpResponse {
    let mut outcomes = Vec::new();
    if readiness.leaving.is_cancelled() {
        outcomes.push(Outcome {
            name: "stopping",
            ready: false,
            required: true,
        });
        let checks = serde_json::json!({ "checks": outcomes });
        return HttpResponse::ServiceUnavailable().json(checks);
    }
    let required = readiness.checks.iter().map(|check| (check, true));
    let reported = readiness.reports.iter().map(|check| (check, false));
    for (check, required) in required.chain(reported) {
        let result = tokio::time::timeout(CHECK_TIMEOUT, check.check())
            .await
            .unwrap_or_else(|_| Err("does not answer".to_owned()));
        if let Err(problem) = &result {
            tracing::warn!(check = check.name(), problem, "not ready");
        }
        outcomes.push(Outcome {
            name: check.name(),
            ready: result.is_ok(),
            required,
        });
    }
    let mut response = if outcomes
        .iter()
        .all(|outcome| outcome.ready || !outcome.required)
    {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.json(serde_json::json!({ "checks": outcomes }))
}

/// Serves the three routes and `/metrics` until `stop` is cancelled, on a port that is not
/// public.
///
/// # Errors
/// The listener cannot be used, or the server fails.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    build: BuildInfo,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let failed = |error| StartError::io("health endpoints", error);
    // In a test, nothing else installs the recorder.
    crate::metrics::install();
    crate::metrics::set_build_info(&build);
    let app = move || {
        App::new()
            .configure(routes(readiness.clone(), build.clone()))
            .route("/metrics", get_or_head().to(metrics))
    };
    let server = HttpServer::new(app)
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)
        .map_err(failed)?
        .run();
    let handle = server.handle();
    tokio::spawn(async move {
        stop.cancelled().await;
        handle.stop(true).await;
    });
    server.await.map_err(failed)
}
