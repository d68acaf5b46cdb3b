//! Whether each provider accepts the client id and the redirect URIs: an authorization request
//! without a person (`prompt=none`) leads back to a redirect URI that is registered, or to a page
//! to sign in, and otherwise to a page that says what is wrong.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use futures::future::join_all;
use latchkey_providers::{
    AuthorizationError, AuthorizeRequest, Provider, Purpose, Registry, for_log,
};
use url::Url;

use crate::check_id::CheckId;
use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::world::World;

/// The challenge of RFC 7636 appendix B: nobody redeems the code, and none is issued.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// More than a page that says what is wrong.
const MOST_BYTES: usize = 512 * 1024;

/// What a page says if the redirect URI is not registered, in lower case.
const REDIRECT_URI: [&str; 3] = ["redirect_uri_mismatch", "aadsts50011", "aadsts500112"];
/// The same, on a page that is an error by its status.
const REDIRECT_URI_LOOSE: [&str; 2] = ["redirect_uri", "redirect uri"];
/// What an error says if the client is not known or not enabled.
const CLIENT: [&str; 7] = [
    "invalid_client",
    "deleted_client",
    "disabled_client",
    "unauthorized_client",
    "aadsts700016",
    "client not found",
    "client_id",
];

/// The response of the authorization endpoint.
#[derive(Debug, Clone, Default)]
struct Reply {
    status: u16,
    location: Option<Url>,
    /// The page, in lower case.
    page: String,
}

/// What the response means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Accepted,
    RedirectUri(String),
    Client(String),
    Refused(String),
    /// Says nothing about the request.
    Unclear(String),
}

pub(crate) async fn check(world: &World) -> Outcome {
    let Some((_, registry)) = world.sign_in_providers() else {
        return Err(NotLooked::Because(CheckId::Environment));
    };
    let mut asked: Vec<(&Arc<Provider>, Purpose)> = Vec::new();
    for provider in registry.iter() {
        let purposes = [Purpose::SignIn, Purpose::Connect].into_iter();
        let purposes = purposes.filter(|purpose| provider.redirect_uri(*purpose).is_some());
        asked.extend(purposes.map(|purpose| (provider, purpose)));
    }
    if asked.is_empty() {
        return Err(NotLooked::Because(CheckId::Providers));
    }
    let looks = asked
        .iter()
        .map(|(provider, purpose)| look(world, provider, *purpose));
    let replies = join_all(looks).await;
    let mut seen = Vec::new();
    let mut findings = Vec::new();
    for ((provider, purpose), reply) in asked.iter().zip(replies) {
        let Some(uri) = provider.redirect_uri(*purpose) else {
            continue;
        };
        let verdict = match reply {
            Ok(reply) => judge(&reply, uri),
            Err(why) => Verdict::Unclear(why),
        };
        let said = match &verdict {
            Verdict::Accepted => "accepted".to_owned(),
            Verdict::Unclear(why) => format!("not known: {why}"),
            Verdict::RedirectUri(reply) | Verdict::Client(reply) | Verdict::Refused(reply) => {
                reply.clone()
            }
        };
        seen.push(format!("{}, {uri}: {said}", provider.label()));
        findings.extend(finding(provider, *purpose, uri, verdict));
    }
    Ok(Looked {
        seen,
        findings,
        detail: None,
    })
}

/// # Errors
/// Why there is no response; another check reports it.
async fn look(world: &World, provider: &Provider, purpose: Purpose) -> Result<Reply, String> {
    let request = AuthorizeRequest {
        purpose,
        state: "latchkey-doctor".to_owned(),
        nonce: "latchkey-doctor".to_owned(),
        pkce_challenge: CHALLENGE.to_owned(),
        login_hint: None,
        hosted_domain: None,
        consent: false,
        claims: None,
        locale: None,
        reuses_grant: false,
    };
    let mut url = provider
        .authorize_url(&request)
        .await
        .map_err(|error| error.to_string())?;
    without_prompt(&mut url);
    url.query_pairs_mut().append_pair("prompt", "none");
    let response = world.http.get(url.clone()).send().await;
    let mut response = response.map_err(|error| error.without_url().to_string())?;
    let header = response.headers().get("location");
    let location = header
        .and_then(|value| value.to_str().ok())
        .and_then(|text| url.join(text).ok());
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while body.len() < MOST_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            // A page that was cut off may still say what is wrong.
            Ok(None) | Err(_) => break,
        }
    }
    Ok(Reply {
        status,
        location,
        page: String::from_utf8_lossy(&body).to_lowercase(),
    })
}

/// Some providers choose an account by a value of `prompt`, which excludes `none`.
fn without_prompt(url: &mut Url) {
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "prompt")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(others);
}

/// What the response of an authorization endpoint means.
fn judge(reply: &Reply, redirect_uri: &Url) -> Verdict {
    if let Some(location) = &reply.location
        && leads_back(location, redirect_uri)
    {
        return of_callback(location);
    }
    // A page behind a redirect only repeats the address.
    let text = match &reply.location {
        Some(location) => error_in(location),
        None => reply.page.clone(),
    };
    let find = |marks: &[&str]| {
        let mut found = marks.iter().filter(|mark| text.contains(**mark));
        found.next().map(|mark| (*mark).to_owned())
    };
    let status = format!("status {}", reply.status);
    if let Some(mark) = find(&REDIRECT_URI) {
        return Verdict::RedirectUri(mark);
    }
    if reply.status >= 500 {
        return Verdict::Unclear(status);
    }
    if reply.status >= 400 && find(&REDIRECT_URI_LOOSE).is_some() {
        return Verdict::RedirectUri(status);
    }
    // A page to sign in may contain any other word.
    let is_error = reply.status >= 400 || reply.location.is_some();
    match find(&CLIENT) {
        Some(mark) if is_error => Verdict::Client(mark),
        _ if reply.status >= 400 => Verdict::Refused(status),
        _ => Verdict::Accepted,
    }
}

fn leads_back(location: &Url, redirect_uri: &Url) -> bool {
    location.origin() == redirect_uri.origin() && location.path() == redirect_uri.path()
}

/// The error of a callback: that a person is needed is what is expected.
fn of_callback(location: &Url) -> Verdict {
    let parameter = |name: &str| {
        let mut pairs = location.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let Some(error) = parameter("error") else {
        return Verdict::Accepted;
    };
    let reply = match parameter("error_description") {
        Some(description) => format!("{} ({})", for_log(&error), for_log(&description)),
        None => for_log(&error),
    };
    match AuthorizationError::of(&error) {
        AuthorizationError::InteractionRequired | AuthorizationError::AccessDenied => {
            Verdict::Accepted
        }
        AuthorizationError::Unavailable => Verdict::Unclear(reply),
        AuthorizationError::Misconfigured
            if ["unauthorized_client", "invalid_client"].contains(&error.as_str()) =>
        {
            Verdict::Client(reply)
        }
        AuthorizationError::Misconfigured
        | AuthorizationError::BlockedByAdmin
        | AuthorizationError::Other => Verdict::Refused(reply),
    }
}

/// The error in the address of a page of the provider, in lower case. Google encodes it in the
/// parameter `authError`.
fn error_in(location: &Url) -> String {
    let mut words: Vec<String> = Vec::new();
    for (name, value) in location.query_pairs() {
        if !matches!(&*name, "authError" | "error" | "error_description") {
            continue;
        }
        let decoded = BASE64_URL_SAFE_NO_PAD
            .decode(value.trim_end_matches('='))
            .or_else(|_| BASE64_STANDARD.decode(&*value));
        words.extend(decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        words.push(value.into_owned());
    }
    words.join(" ").to_lowercase()
}

fn finding(provider: &Provider, purpose: Purpose, uri: &Url, verdict: Verdict) -> Option<Finding> {
    let label = provider.label();
    match verdict {
        Verdict::Accepted | Verdict::Unclear(_) => None,
        Verdict::RedirectUri(reply) => Some(Finding {
            code: "redirect_uri",
            runbook: Runbook::SignIn,
            problem: format!("{label} does not accept the redirect URI {uri}: {reply}"),
            looked_at: format!(
                "an authorization request to {label} with this redirect URI, without a person"
            ),
            remedy: format!(
                "register exactly this URI ({}), or set {} to the one that is registered",
                provider.registration().redirect_uris,
                Registry::callback_variable(provider, purpose),
            ),
        }),
        Verdict::Client(reply) => {
            let client_id = provider.client_id();
            let problem = format!("{label} does not accept the client id {client_id}: {reply}");
            Some(refused(label, problem))
        }
        Verdict::Refused(reply) => {
            let problem = format!("{label} refuses the authorization request: {reply}");
            Some(refused(label, problem))
        }
    }
}

fn refused(label: &str, problem: String) -> Finding {
    Finding {
        code: "authorization_refused",
        runbook: Runbook::SignIn,
        problem,
        looked_at: format!("an authorization request to {label}, without a person"),
        remedy: format!(
            "compare client id, scopes and consent screen with the registration at {label}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "https://auth.example.com/auth/google/redirect";

    fn judged(status: u16, location: Option<&str>, page: &str) -> Verdict {
        let reply = Reply {
            status,
            location: location.map(|text| text.parse().unwrap()),
            page: page.to_lowercase(),
        };
        judge(&reply, &URI.parse().unwrap())
    }

    #[test]
    fn a_callback_that_asks_for_a_person_accepts_the_redirect_uri() {
        for error in ["login_required", "interaction_required", "consent_required"] {
            let location = format!("{URI}?error={error}&state=latchkey-doctor");
            assert_eq!(
                judged(302, Some(&location), ""),
                Verdict::Accepted,
                "{error}"
            );
        }
        let location =
            "https://accounts.google.com/v3/signin/identifier?client_id=a&flowName=error";
        assert_eq!(judged(302, Some(location), ""), Verdict::Accepted);
        assert_eq!(
            judged(200, None, "Sign in. client_id redirect_uri"),
            Verdict::Accepted
        );
    }

    // Google answers with a page whose address has the error in base64; Microsoft with a page of
    // status 200.
    #[test]
    fn a_page_that_names_the_redirect_uri_refuses_it() {
        let encoded = BASE64_URL_SAFE_NO_PAD.encode("\n\u{15}redirect_uri_mismatch\u{12}\u{b0}");
        let google = format!("https://accounts.google.com/signin/oauth/error?authError={encoded}");
        let mismatch = Verdict::RedirectUri("redirect_uri_mismatch".to_owned());
        assert_eq!(judged(302, Some(&google), ""), mismatch);
        assert_eq!(
            judged(400, None, "Error 400: redirect_uri_mismatch"),
            mismatch
        );
        let microsoft = judged(200, None, "AADSTS50011: The redirect URI does not match");
        assert_eq!(microsoft, Verdict::RedirectUri("aadsts50011".to_owned()));
        let keycloak = judged(400, None, "Invalid parameter: redirect_uri");
        assert_eq!(keycloak, Verdict::RedirectUri("status 400".to_owned()));
    }

    #[test]
    fn a_page_that_names_the_client_refuses_it() {
        let encoded = BASE64_URL_SAFE_NO_PAD.encode("\n\u{e}invalid_client\u{12}\u{1f}");
        let google = format!("https://accounts.google.com/signin/oauth/error?authError={encoded}");
        let unknown = Verdict::Client("invalid_client".to_owned());
        assert_eq!(judged(302, Some(&google), ""), unknown);
        assert_eq!(judged(401, None, "Error 401: invalid_client"), unknown);
    }

    #[test]
    fn an_outage_says_nothing_and_a_scope_is_refused() {
        assert!(matches!(judged(503, None, ""), Verdict::Unclear(_)));
        let location = format!("{URI}?error=invalid_scope&error_description=calendar");
        let refused = Verdict::Refused("invalid_scope (calendar)".to_owned());
        assert_eq!(judged(302, Some(&location), ""), refused);
    }
}
