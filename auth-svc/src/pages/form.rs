//! Forms of our own pages: who may send them, and whether the page that the
//! person saw is still true.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Explanation, Next, problem};
use crate::app::State;
use crate::http::same_site;
use crate::login::query::{Query, QueryError};
use crate::random::sha256;

/// Field of a form: what its page showed.
pub(super) const SEEN: &str = "seen";

/// Fields of a form that our own page sent.
///
/// # Errors
/// The refusal of a form that anything else sent.
pub(super) fn fields_of(
    state: &State,
    request: &HttpRequest,
    body: &[u8],
) -> Result<Result<Query, QueryError>, HttpResponse> {
    if !same_site::is_own_form(request, &state.config.public_origin) {
        return Err(refused(request));
    }
    // What is no text cannot have come from a form of ours.
    Ok(Query::parse(std::str::from_utf8(body).unwrap_or_default()))
}

fn refused(request: &HttpRequest) -> HttpResponse {
    let explanation = Explanation {
        status: StatusCode::FORBIDDEN,
        code: "cross_site",
        title: "Another web site asked for this",
        text: "Nothing was changed, and nothing was connected. If you want it, do it on the page \
               of this service that asks you."
            .to_owned(),
        next: Next::Home,
    };
    tracing::warn!(
        path = request.path(),
        origin = request
            .headers()
            .get("origin")
            .and_then(|origin| origin.to_str().ok())
            .map(|origin| origin.chars().take(200).collect::<String>()),
        error.code = explanation.code,
        outcome = "refused",
        "form refused"
    );
    problem(request, &explanation, None)
}

/// What a page showed, in short. No secret, and no proof of who sends it: it
/// only tells that something changed between the page and the button.
pub(super) fn seen(parts: &[&str]) -> String {
    let mut text = String::new();
    for part in parts {
        // With its length, so that no two lists give the same text.
        text.push_str(&format!("{}:{part};", part.len()));
    }
    let digest = URL_SAFE_NO_PAD.encode(sha256(&text));
    digest.get(..22).unwrap_or(&digest).to_owned()
}
