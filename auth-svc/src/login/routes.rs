//! The routes of a sign-in, and the one log line per refusal.

use std::fmt::{Debug, Display};

use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_domain::ProviderName;

use crate::app::State;
use crate::login::authorize::{self, Start};
use crate::login::callback;
use crate::pages::{self, Explanation};

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    for (path, start) in [
        ("/auth/{provider:google|microsoft}", Start::SignIn),
        ("/auth/oidc/{provider}", Start::SignIn),
        ("/auth/{provider:google|microsoft}-apis", Start::Connect),
        ("/auth/oidc-apis/{provider}", Start::Connect),
    ] {
        let begin = move |state, name, request| begin(state, name, request, start);
        // HEAD too: operators look at the entry point's `Location`.
        config.service(
            web::resource(path)
                .route(web::get().to(begin))
                .route(web::head().to(begin)),
        );
    }
    for (path, start) in [
        ("/auth/{provider:google|microsoft}/redirect", Start::SignIn),
        ("/auth/oidc/{provider}/redirect", Start::SignIn),
        (
            "/auth/{provider:google|microsoft}-apis/get-access-token",
            Start::Connect,
        ),
        (
            "/auth/oidc-apis/{provider}/get-access-token",
            Start::Connect,
        ),
    ] {
        config.route(
            path,
            web::get().to(move |state, name, request| end(state, name, request, start)),
        );
    }
}

/// The provider of the path. Google and Microsoft have their own paths.
fn provider_of(request: &HttpRequest, name: &str) -> Option<ProviderName> {
    let reserved = matches!(name, ProviderName::GOOGLE | ProviderName::MICROSOFT);
    let generic = request.path().starts_with("/auth/oidc");
    name.parse().ok().filter(|_| !(reserved && generic))
}

async fn begin(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
    start: Start,
) -> HttpResponse {
    let Some(provider) = provider_of(&request, &name) else {
        return pages::not_found(request).await;
    };
    match authorize::start(&state, &request, &provider, start).await {
        Ok(response) => response,
        Err(error) => {
            let explanation = Explanation::from(&error);
            log(&provider, &explanation, &error);
            pages::problem(&request, &explanation, Some(&again(&provider, start)))
        }
    }
}

async fn end(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
    start: Start,
) -> HttpResponse {
    let Some(provider) = provider_of(&request, &name) else {
        return pages::not_found(request).await;
    };
    let (result, spent) = callback::callback(&state, &request, &provider, start).await;
    let mut response = match result {
        Ok(response) => response,
        Err(error) => {
            let explanation = Explanation::from(&error);
            log(&provider, &explanation, &error);
            pages::problem(&request, &explanation, Some(&again(&provider, start)))
        }
    };
    if let Some(cookie) = spent
        && let Err(error) = response.add_cookie(&cookie)
    {
        tracing::error!(%error, "the flow's cookie was not removed");
    }
    response
}

/// Where "try again" leads.
fn again(provider: &ProviderName, start: Start) -> String {
    let known = matches!(
        provider.as_str(),
        ProviderName::GOOGLE | ProviderName::MICROSOFT
    );
    match (start, known) {
        (Start::SignIn, true) => format!("/auth/{provider}"),
        (Start::SignIn, false) => format!("/auth/oidc/{provider}"),
        (Start::Connect, true) => format!("/auth/{provider}-apis"),
        (Start::Connect, false) => format!("/auth/oidc-apis/{provider}"),
    }
}

/// One line per refusal; the trace id stands in every line.
fn log(provider: &ProviderName, explanation: &Explanation, error: &(impl Display + Debug)) {
    let status = explanation.status.as_u16();
    let code = explanation.code;
    if explanation.status.is_server_error() {
        tracing::error!(%provider, status, error.code = code, %error, outcome = "refused", "sign-in failed");
    } else {
        tracing::warn!(%provider, status, error.code = code, %error, outcome = "refused", "sign-in refused");
    }
}
