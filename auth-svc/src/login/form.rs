//! Forms of our own pages: who may send them, and whether the page that the
//! person saw is still true.

use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_domain::ProviderName;

use crate::http::problem::ProblemDetails;
use crate::http::query::Query;
use crate::http::same_site::{self, CrossSite};
use crate::login::flow::Context;
use crate::login::next_steps::problem;
use crate::login::parameters::context_of;
use crate::login::start::StartError;
use crate::random::sha256;
use crate::state::State;

/// Field of a form: what its page showed.
pub(crate) const SEEN: &str = "seen";

/// Why a form is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormError {
    /// Anything but our own page sent it.
    #[error(transparent)]
    CrossSite(#[from] CrossSite),
    /// What is asked for is not taken.
    #[error(transparent)]
    Asked(#[from] StartError),
}

impl FormError {
    /// Told to a person.
    pub(crate) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        match self {
            Self::CrossSite(refusal) => problem(request, &(*refusal).into(), None),
            Self::Asked(error) => refused(request, error),
        }
    }
}

/// Fields of a form that our own page sent, and what they ask for.
///
/// # Errors
/// Anything else sent it, or a field is not taken.
pub(crate) fn fields_of(
    state: &State,
    request: &HttpRequest,
    body: &[u8],
) -> Result<(Query, Context), FormError> {
    same_site::check_own_form(request, &state.config.public_origin)?;
    // What is no text cannot have come from a form of ours.
    let fields =
        Query::parse(std::str::from_utf8(body).unwrap_or_default()).map_err(StartError::from)?;
    let context = context_of(&fields, &state.config.returns).map_err(StartError::from)?;
    Ok((fields, context))
}

/// What a page showed, in short. No secret, and no proof of who sends it: it
/// only tells that something changed between the page and the button.
pub(crate) fn seen(parts: &[&str]) -> String {
    // With the lengths, so that no two lists give the same text.
    let text: Vec<String> = parts
        .iter()
        .map(|part| format!("{}:{part};", part.len()))
        .collect();
    let digest = URL_SAFE_NO_PAD.encode(sha256(&text.concat()));
    digest.get(..22).unwrap_or(&digest).to_owned()
}

/// A provider that is switched on.
pub(crate) fn known(state: &State, name: &str) -> Option<ProviderName> {
    let name: ProviderName = name.parse().ok()?;
    state.providers.get(&name).is_some().then_some(name)
}

/// Logs a refusal and answers it.
pub(crate) fn refused(request: &HttpRequest, error: &StartError) -> HttpResponse {
    let explanation = ProblemDetails::from(error);
    tracing::warn!(error.code = explanation.code, %error, outcome = "refused", "not started");
    problem(request, &explanation, None)
}
