//! Whether a request was made by this deployment's own pages (CSRF), from what
//! browsers say and scripts cannot forge: `Sec-Fetch-Site` and `Origin`.

use actix_web::HttpRequest;
use actix_web::http::header::{ORIGIN, REFERER};
use url::Url;

use crate::config::WebOrigin;
use crate::login::redirect::ReturnPolicy;

/// Characters of a foreign origin that are logged.
const MAX_LOGGED: usize = 200;

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
    let may = match (
        header(request, ORIGIN.as_str()),
        header(request, "sec-fetch-site"),
    ) {
        (Some(origin), _) => Url::parse(origin).is_ok_and(|origin| returns.trusts(&origin)),
        (None, site) => matches!(site, None | Some("same-origin" | "none")),
    };
    if !may {
        log_foreign(request);
    }
    may
}

/// Logs whose request is refused, and the variable that would allow it.
pub fn log_foreign(request: &HttpRequest) {
    let origin = header(request, ORIGIN.as_str()).unwrap_or("none");
    let origin: String = origin.chars().take(MAX_LOGGED).collect();
    tracing::warn!(
        // Escaped: it is a stranger's text.
        ?origin,
        path = request.path(),
        "the page's origin is not allowed: if it is a front end of this deployment, add it to \
         ALLOWED_RETURN_ORIGINS"
    );
}

/// Returns `true` if a form was sent by a page of this service itself: not by a front
/// end of the deployment, not by a workspace's own host, not by a program. What
/// a person chose on our page is believed from nowhere else; that nobody lays
/// the page under another is what `frame-ancestors` is for.
pub fn is_own_form(request: &HttpRequest, public: &WebOrigin) -> bool {
    let own = header(request, ORIGIN.as_str())
        .is_some_and(|origin| Url::parse(origin).is_ok_and(|origin| public.holds(&origin)));
    own && matches!(
        header(request, "sec-fetch-site"),
        None | Some("same-origin")
    )
}

/// Returns `true` if no browser says that the navigation was begun by another page than
/// one for which `is_known` holds. Another site's link may say where to go, and
/// must not say who may fetch the session that comes of it.
pub fn was_begun_by(request: &HttpRequest, is_known: impl Fn(&Url) -> bool) -> bool {
    matches!(
        header(request, "sec-fetch-site"),
        None | Some("same-origin")
    ) || header(request, REFERER.as_str())
        .is_some_and(|page| Url::parse(page).is_ok_and(|page| is_known(&page)))
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
