//! Whether a request was made by this deployment's own pages (CSRF), from what
//! browsers say and scripts cannot forge: `Sec-Fetch-Site` and `Origin`.

use actix_web::HttpRequest;
use actix_web::http::header::{ORIGIN, REFERER};
use url::Url;

use crate::config::WebOrigin;
use crate::login::redirect::ReturnPolicy;

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    // What cannot be read counts as foreign.
    request
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap_or("unreadable"))
}

/// True where a request that changes something comes from this deployment, or
/// from no browser: every browser sends `Origin` with a POST.
pub fn may_change(request: &HttpRequest, returns: &ReturnPolicy) -> bool {
    match (
        header(request, ORIGIN.as_str()),
        header(request, "sec-fetch-site"),
    ) {
        (Some(origin), _) => Url::parse(origin).is_ok_and(|origin| returns.trusts(&origin)),
        (None, site) => matches!(site, None | Some("same-origin" | "none")),
    }
}

/// Returns `true` if a request was made by a page of this service itself, or by no
/// browser. Pages of the app and of workspaces' hosts are others.
pub fn is_first_party(request: &HttpRequest, public: &WebOrigin) -> bool {
    match (
        header(request, ORIGIN.as_str()),
        header(request, "sec-fetch-site"),
    ) {
        (Some(origin), _) => Url::parse(origin).is_ok_and(|origin| public.holds(&origin)),
        (None, site) => matches!(site, None | Some("same-origin" | "none")),
    }
}

/// True where a navigation does not come from another site, or comes from a
/// page that this deployment knows.
pub fn may_navigate(request: &HttpRequest, returns: &ReturnPolicy) -> bool {
    if header(request, "sec-fetch-site") != Some("cross-site") {
        return true;
    }
    header(request, REFERER.as_str())
        .is_some_and(|page| Url::parse(page).is_ok_and(|page| returns.trusts(&page)))
}
