//! Protection against cross-site request forgery (CSRF): which page made a request, by the
//! headers `Sec-Fetch-Site` and `Origin`, which browsers set and scripts cannot forge.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{ORIGIN, REFERER};
use latchkey_config::WebOrigin;
use url::Url;

use crate::http::problem::{NextStep, ProblemDetails};
use crate::login::redirect::ReturnPolicy;

/// Another web site made the request. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another web site made the request")]
pub struct CrossSite;

impl From<CrossSite> for ProblemDetails {
    fn from(_: CrossSite) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            code: "cross_site",
            title: "Another web site made this request",
            text: "Nothing was changed. If you want this, please do it on a page of this service."
                .to_owned(),
            next: NextStep::Home,
        }
    }
}

/// Maximum number of characters of a foreign origin in the log.
const MAX_LOGGED: usize = 200;

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    // A header that is not text counts as foreign.
    request
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap_or("unreadable"))
}

/// Returns `true` if a request that changes something is made by a page of this deployment,
/// or not by a browser. Every browser sends `Origin` with a POST.
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

/// Checks that a page of this deployment made a request that changes something, or that no
/// browser made it.
///
/// # Errors
/// Returns an error if another web site made it.
pub fn check_deployment(request: &HttpRequest, returns: &ReturnPolicy) -> Result<(), CrossSite> {
    if may_change(request, returns) {
        return Ok(());
    }
    Err(CrossSite)
}

/// Checks that a page of this service made a request, or that no browser made it.
///
/// # Errors
/// Returns an error if another web site made it.
pub fn check_first_party(request: &HttpRequest, public: &WebOrigin) -> Result<(), CrossSite> {
    if is_first_party(request, public) {
        return Ok(());
    }
    log_refused(request);
    Err(CrossSite)
}

/// Checks that a page of this service sent a form.
///
/// # Errors
/// Returns an error if another web site or a program sent it.
pub fn check_own_form(request: &HttpRequest, public: &WebOrigin) -> Result<(), CrossSite> {
    if is_own_form(request, public) {
        return Ok(());
    }
    log_refused(request);
    Err(CrossSite)
}

fn log_refused(request: &HttpRequest) {
    tracing::warn!(
        origin = ?origin_for_log(request),
        path = request.path(),
        error.code = "cross_site",
        outcome = "refused",
        "the request was not made by a page of this service"
    );
}

fn origin_for_log(request: &HttpRequest) -> String {
    let origin = header(request, ORIGIN.as_str()).unwrap_or("none");
    origin.chars().take(MAX_LOGGED).collect()
}

/// Logs the foreign origin, and the variable that would allow it.
pub fn log_foreign(request: &HttpRequest) {
    tracing::warn!(
        // Formatted with escapes, because any client can choose the text.
        origin = ?origin_for_log(request),
        path = request.path(),
        error.code = "cross_site",
        "the page's origin is not allowed: if it is a front end of this deployment, add it to \
         ALLOWED_RETURN_ORIGINS"
    );
}

/// Returns `true` if a page of this service sent the form. A front end of the deployment,
/// the host of a workspace, or a program must not send it, because it says what a person
/// chose on that page. `frame-ancestors` prevents that another site frames the page.
pub fn is_own_form(request: &HttpRequest, public: &WebOrigin) -> bool {
    let own = header(request, ORIGIN.as_str())
        .is_some_and(|origin| Url::parse(origin).is_ok_and(|origin| public.holds(&origin)));
    own && matches!(
        header(request, "sec-fetch-site"),
        None | Some("same-origin")
    )
}

/// Returns `true` if the browser names no page that started the navigation, or names one for
/// which `is_known` holds. A link on another site may say where to go, but must not say
/// who may fetch the session of the sign-in.
pub fn was_begun_by(request: &HttpRequest, is_known: impl Fn(&Url) -> bool) -> bool {
    matches!(
        header(request, "sec-fetch-site"),
        None | Some("same-origin")
    ) || header(request, REFERER.as_str())
        .is_some_and(|page| Url::parse(page).is_ok_and(|page| is_known(&page)))
}

/// Returns `true` if a page of this service made the request, or no browser. Pages of the
/// app and of workspace hosts do not count.
pub fn is_first_party(request: &HttpRequest, public: &WebOrigin) -> bool {
    match (
        header(request, ORIGIN.as_str()),
        header(request, "sec-fetch-site"),
    ) {
        (Some(origin), _) => Url::parse(origin).is_ok_and(|origin| public.holds(&origin)),
        (None, site) => matches!(site, None | Some("same-origin" | "none")),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const OWN: &str = "https://auth.example.com";
    const APP: &str = "https://app.example.com";
    const EVIL: &str = "https://evil.example";
    const SITES: [Option<&str>; 6] = [
        None,
        Some("same-origin"),
        Some("none"),
        Some("same-site"),
        Some("cross-site"),
        Some("unheard-of"),
    ];

    fn request(origin: Option<&str>, site: Option<&str>, page: Option<&str>) -> HttpRequest {
        let mut request = TestRequest::post();
        for (name, value) in [
            ("origin", origin),
            ("sec-fetch-site", site),
            ("referer", page),
        ] {
            if let Some(value) = value {
                request = request.insert_header((name, value));
            }
        }
        request.to_http_request()
    }

    fn own() -> WebOrigin {
        OWN.parse().unwrap()
    }

    fn returns() -> ReturnPolicy {
        ReturnPolicy::new(format!("{APP}/").parse().unwrap(), &own(), vec![], false)
    }

    /// The values of `Sec-Fetch-Site` for which the rule holds.
    fn sites(holds: impl Fn(Option<&'static str>) -> bool) -> Vec<Option<&'static str>> {
        SITES.into_iter().filter(|site| holds(*site)).collect()
    }

    #[test]
    fn a_change_comes_from_this_deployment_or_from_no_browser() {
        let may = |origin, site| may_change(&request(origin, site, None), &returns());
        for origin in [OWN, APP] {
            assert_eq!(sites(|site| may(Some(origin), site)), SITES);
        }
        for origin in [EVIL, "null", "", "https://auth.example.com.evil.example"] {
            assert!(sites(|site| may(Some(origin), site)).is_empty(), "{origin}");
        }
        assert_eq!(
            sites(|site| may(None, site)),
            [None, Some("same-origin"), Some("none")]
        );
    }

    #[test]
    fn the_first_party_is_this_service_and_not_the_app() {
        let is = |origin, site| is_first_party(&request(origin, site, None), &own());
        assert_eq!(sites(|site| is(Some(OWN), site)), SITES);
        for origin in [APP, EVIL, "null"] {
            assert!(sites(|site| is(Some(origin), site)).is_empty(), "{origin}");
        }
        assert_eq!(
            sites(|site| is(None, site)),
            [None, Some("same-origin"), Some("none")]
        );
    }

    #[test]
    fn a_form_is_our_own_only_if_the_browser_names_us() {
        let is = |origin, site| is_own_form(&request(origin, site, None), &own());
        assert_eq!(
            sites(|site| is(Some(OWN), site)),
            [None, Some("same-origin")]
        );
        for origin in [None, Some(APP), Some(EVIL), Some("null")] {
            assert!(sites(|site| is(origin, site)).is_empty(), "{origin:?}");
        }
    }

    #[test]
    fn a_navigation_was_begun_by_a_page_that_is_known_or_by_nobody_who_says() {
        let by = |site, page| {
            was_begun_by(&request(None, site, page), |page| {
                page.as_str().starts_with(APP)
            })
        };
        let unsaid = [None, Some("same-origin")];
        assert_eq!(sites(|site| by(site, None)), unsaid);
        assert_eq!(sites(|site| by(site, Some(EVIL))), unsaid);
        assert_eq!(sites(|site| by(site, Some("no address"))), unsaid);
        assert_eq!(
            sites(|site| by(site, Some("https://app.example.com/a"))),
            SITES
        );
    }

    // A header that is not text counts as foreign.
    #[test]
    fn what_cannot_be_read_counts_as_foreign() {
        for name in ["origin", "sec-fetch-site"] {
            let unreadable = actix_web::http::header::HeaderValue::from_bytes(b"\xff").unwrap();
            let request = TestRequest::post().insert_header((name, unreadable));
            assert!(
                !may_change(&request.to_http_request(), &returns()),
                "{name}"
            );
        }
    }
}
