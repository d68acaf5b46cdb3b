//! Forms of this service's own pages: whether the page itself sent them, and whether what
//! the page showed has changed.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_providers::Provider;

use crate::http::problem::ProblemDetails;
use crate::http::query::Query;
use crate::http::same_site::{self, CrossSite};
use crate::login::context::Context;
use crate::login::next_steps::problem;
use crate::login::parameters::context_of;
use crate::login::start::StartError;
use crate::random::sha256;
use crate::state::State;

/// Name of the form field with the digest of what the page showed.
pub(crate) const SEEN: &str = "seen";

/// Why a form is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormError {
    /// The request does not come from a page of this service.
    #[error(transparent)]
    CrossSite(#[from] CrossSite),
    /// A field is invalid.
    #[error(transparent)]
    Asked(#[from] StartError),
}

impl FormError {
    /// Builds the error response.
    pub(crate) fn response(&self, request: &HttpRequest) -> HttpResponse {
        match self {
            Self::CrossSite(refusal) => problem(request, &(*refusal).into(), None),
            Self::Asked(error) => error_response(request, error),
        }
    }
}

/// Returns the fields of a form that a page of this service sent, and their context.
///
/// # Errors
/// Returns an error if the request comes from elsewhere or a field is invalid.
pub(crate) fn fields_of(
    state: &State,
    request: &HttpRequest,
    body: &[u8],
) -> Result<(Query, Context), FormError> {
    same_site::check_own_form(request, &state.config.public_origin)?;
    // A body that is not UTF-8 cannot come from a form of this service.
    let fields =
        Query::parse(std::str::from_utf8(body).unwrap_or_default()).map_err(StartError::from)?;
    let context = context_of(&fields, &state.config.returns).map_err(StartError::from)?;
    Ok((fields, context))
}

/// Returns a digest of what a page showed. It is neither a secret nor a proof of the sender;
/// it only shows whether something changed between the page and its button.
pub(crate) fn digest_of(parts: &[&str]) -> String {
    // The lengths make the text unambiguous.
    let text: Vec<String> = parts
        .iter()
        .map(|part| format!("{}:{part};", part.len()))
        .collect();
    let digest = URL_SAFE_NO_PAD.encode(sha256(&text.concat()));
    digest.get(..22).unwrap_or(&digest).to_owned()
}

/// Returns the provider of this name, if it is configured.
pub(crate) fn configured_provider(state: &State, name: &str) -> Option<Arc<Provider>> {
    state.providers.get(&name.parse().ok()?)
}

/// Logs an error and builds the error response.
pub(crate) fn error_response(request: &HttpRequest, error: &StartError) -> HttpResponse {
    let explanation = ProblemDetails::from(error);
    tracing::warn!(error.code = explanation.code, %error, outcome = "refused", "the flow was not started");
    problem(request, &explanation, None)
}
