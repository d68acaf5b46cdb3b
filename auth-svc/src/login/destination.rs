//! The destination after a page, as the page names it.

use url::Url;

use crate::login::context::Context;
use crate::login::redirect::{ReturnLocation, Site};
use crate::state::State;

/// Returns the host to which the person is sent and whose application is signed in as them,
/// or `None` if it is this origin.
pub(crate) fn other_origin(
    state: &State,
    context: &Context,
    site: Option<Site<'_>>,
) -> Option<String> {
    let returns = &state.config.returns;
    let url = match (site, &context.return_to) {
        (Some(site), location) => returns.destination(location.as_ref(), site),
        (None, Some(ReturnLocation::Url(url))) => url.clone(),
        (None, _) => returns.app().clone(),
    };
    if state.config.public_origin.holds(&url) {
        return None;
    }
    Some(host_of(&url))
}

/// Returns the host, with its port if that is not the default.
pub(crate) fn host_of(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => url.to_string(),
    }
}
