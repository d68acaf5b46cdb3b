//! The page that asks a person, and what becomes of their answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::http::header::LOCATION;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use url::{Url, form_urlencoded};

use crate::app::{App, Place};
use crate::people::{PERSONAL_TENANT, Person};
use crate::random;
use crate::state::{Code, State};
use crate::{Endpoint, Flavour, Misbehaviour};

/// Scopes that say who a person is: not ticked off one by one.
const IDENTITY: [&str; 4] = ["openid", "email", "profile", "offline_access"];

type Pairs = Vec<(String, String)>;

fn first<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// An authorization request whose client and redirect URI are known.
struct Asked {
    redirect_uri: Url,
    /// To the letter: the token request must repeat it.
    redirect_text: String,
    state: Option<String>,
    challenge: String,
    nonce: Option<String>,
    scopes: BTreeSet<String>,
    prompt: BTreeSet<String>,
    offline: bool,
    include_granted: bool,
    login_hint: Option<String>,
    hosted_domain: Option<String>,
}

/// Why there is no page to answer on.
enum Fault {
    /// Nowhere to send the browser: told here.
    Page(String),
    /// Told to the client.
    Client(Box<Url>),
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    flavour: &'a str,
    title: &'a str,
    client: &'a str,
    people: Vec<Choice<'a>>,
    scopes: Vec<&'a str>,
    known: bool,
    action: &'a str,
}

struct Choice<'a> {
    person: &'a Person,
    chosen: bool,
    note: &'a str,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    problem: &'a str,
}

fn problem(text: &str) -> HttpResponse {
    page(&ProblemPage { problem: text }, true)
}

fn page(template: &impl Template, bad: bool) -> HttpResponse {
    let Ok(html) = template.render() else {
        return HttpResponse::InternalServerError().finish();
    };
    let mut answer = if bad {
        HttpResponse::BadRequest()
    } else {
        HttpResponse::Ok()
    };
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header(("Cache-Control", "no-store"))
        .body(html)
}

/// The callback with these parameters, and `iss` where it is on (RFC 9207).
fn callback(app: &App, place: &Place, redirect_uri: &Url, parameters: &[(&str, &str)]) -> Url {
    let state = app.state();
    let mut url = redirect_uri.clone();
    {
        let mut query = url.query_pairs_mut();
        for (name, value) in parameters {
            query.append_pair(name, value);
        }
        let flavour = place.flavour;
        if state.misbehaves(flavour, Misbehaviour::WrongResponseIssuer) {
            query.append_pair("iss", "https://evil.example");
        } else if state.settings.response_iss
            && flavour != Flavour::Microsoft
            && !state.misbehaves(flavour, Misbehaviour::NoResponseIssuer)
        {
            query.append_pair("iss", &app.issuer(flavour, ""));
        }
    }
    url
}

fn read(app: &App, place: &Place, query: &Pairs) -> Result<Asked, Fault> {
    let told = |text: &str| Fault::Page(text.to_owned());
    if first(query, "client_id") != Some(&app.config.client_id) {
        return Err(told("This client is not registered here (client_id)."));
    }
    let redirect_uri = first(query, "redirect_uri")
        .filter(|uri| {
            let known = &app.config.redirect_uris;
            known.is_empty() || known.iter().any(|registered| registered == uri)
        })
        .and_then(|uri| Url::parse(uri).ok())
        .ok_or_else(|| {
            told("redirect_uri_mismatch: this redirect_uri is not registered for the client.")
        })?;
    if let (Some(only), Some(tenant)) = (
        app.state().settings.microsoft_single_tenant.as_deref(),
        place.tenant.as_deref(),
    ) && tenant != only
    {
        return Err(told(
            "AADSTS50194: the application is not configured as a multi-tenant application. \
             Usage of the /common endpoint is not supported for such applications.",
        ));
    }
    let state = first(query, "state").map(str::to_owned);
    let refuse = |error: &str, description: &str| {
        let mut parameters = vec![("error", error), ("error_description", description)];
        if let Some(state) = &state {
            parameters.push(("state", state));
        }
        Fault::Client(Box::new(callback(app, place, &redirect_uri, &parameters)))
    };
    if first(query, "response_type") != Some("code") {
        return Err(refuse("unsupported_response_type", "Only code is known."));
    }
    if first(query, "code_challenge_method") != Some("S256") {
        return Err(refuse("invalid_request", "PKCE with S256 is required."));
    }
    let challenge = first(query, "code_challenge").filter(|text| text.len() == 43);
    let Some(challenge) = challenge.map(str::to_owned) else {
        return Err(refuse("invalid_request", "code_challenge is missing."));
    };
    let words = |name: &str| -> BTreeSet<String> {
        first(query, name)
            .unwrap_or_default()
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let scopes = words("scope");
    if scopes.is_empty() {
        return Err(refuse("invalid_scope", "No scope was asked for."));
    }
    let prompt = words("prompt");
    if prompt.contains("none") {
        return Err(refuse("login_required", "Nobody is signed in here."));
    }
    Ok(Asked {
        redirect_text: first(query, "redirect_uri").unwrap_or_default().to_owned(),
        challenge,
        nonce: first(query, "nonce").map(str::to_owned),
        offline: first(query, "access_type") == Some("offline"),
        include_granted: first(query, "include_granted_scopes") == Some("true"),
        login_hint: first(query, "login_hint").map(str::to_owned),
        hosted_domain: first(query, "hd").map(str::to_owned),
        redirect_uri,
        state,
        scopes,
        prompt,
    })
}

/// True where the person may come in by this door.
fn may_enter(place: &Place, asked: &Asked, person: &Person) -> bool {
    let in_domain = asked
        .hosted_domain
        .as_deref()
        .is_none_or(|wanted| person.hosted_domain.as_deref() == Some(wanted));
    let in_tenant = match place.tenant.as_deref() {
        None | Some("common") => true,
        Some("organizations") => person.tenant != PERSONAL_TENANT,
        Some("consumers") => person.tenant == PERSONAL_TENANT,
        Some(tenant) => person.tenant == tenant,
    };
    in_domain && in_tenant
}

fn pairs(text: &[u8]) -> Pairs {
    form_urlencoded::parse(text).into_owned().collect()
}

fn fault_answer(fault: Fault) -> HttpResponse {
    match fault {
        Fault::Page(text) => problem(&text),
        Fault::Client(url) => see_other(&url),
    }
}

fn see_other(url: &Url) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, url.as_str()))
        .insert_header(("Cache-Control", "no-store"))
        .finish()
}

/// `GET`: the page.
pub(crate) async fn show(request: HttpRequest, app: Data<Arc<App>>) -> HttpResponse {
    let Some(place) = Place::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    app.serve(&request, &place, Endpoint::Authorize, None, || {
        let query = pairs(request.query_string().as_bytes());
        match read(&app, &place, &query) {
            Ok(asked) => consent_page(&app, &place, &asked, request.uri().to_string().as_str()),
            Err(fault) => fault_answer(fault),
        }
    })
    .await
}

fn consent_page(app: &App, place: &Place, asked: &Asked, action: &str) -> HttpResponse {
    let state = app.state();
    let flavour = place.flavour;
    let people: Vec<Choice<'_>> = state
        .people
        .iter()
        .filter(|person| may_enter(place, asked, person))
        .enumerate()
        .map(|(position, person)| Choice {
            person,
            chosen: asked.login_hint.as_deref().map_or(position == 0, |hint| {
                hint == person.email || hint == person.id
            }),
            note: if person.verified {
                ""
            } else {
                "address not verified"
            },
        })
        .collect();
    let known =
        state.consents.keys().any(|(of, _)| *of == flavour) && !asked.prompt.contains("consent");
    let title = match flavour {
        Flavour::Google => "Demo Google",
        Flavour::Microsoft => "Demo Microsoft",
        Flavour::Oidc => "Demo OpenID",
    };
    let scopes = asked
        .scopes
        .iter()
        .map(String::as_str)
        .filter(|scope| !IDENTITY.contains(scope))
        .collect();
    let template = ConsentPage {
        flavour: flavour.name(),
        title,
        client: &app.config.client_id,
        people,
        scopes,
        known,
        action,
    };
    page(&template, false)
}

/// `POST`: the person's answer.
///
/// Form fields: `person` (short name or address), `decision` (`allow`, the
/// default, or `deny`), `error` (any code to answer with), `untick` (a scope to
/// leave out, repeatable); the page itself sends `ticks=1` and one `tick` per
/// scope.
pub(crate) async fn decide(request: HttpRequest, app: Data<Arc<App>>, body: Bytes) -> HttpResponse {
    let Some(place) = Place::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    let query = pairs(request.query_string().as_bytes());
    let answer = pairs(&body);
    let asked = match read(&app, &place, &query) {
        Ok(asked) => asked,
        Err(fault) => return fault_answer(fault),
    };
    let tell = |parameters: &[(&str, &str)]| {
        let mut parameters = parameters.to_vec();
        if let Some(state) = &asked.state {
            parameters.push(("state", state));
        }
        see_other(&callback(&app, &place, &asked.redirect_uri, &parameters))
    };
    if let Some(error) = first(&answer, "error") {
        return tell(&[("error", error), ("error_description", "As ordered.")]);
    }
    if first(&answer, "decision") == Some("deny") {
        return tell(&[
            ("error", "access_denied"),
            ("error_description", "The person said no."),
        ]);
    }
    let who = first(&answer, "person")
        .or(asked.login_hint.as_deref())
        .unwrap_or("ada");
    let granted = ticked(&asked, &answer);
    let mut state = app.state();
    let Some(person) = state.person(who).cloned() else {
        return problem("Nobody of that name has an account here.");
    };
    if !may_enter(&place, &asked, &person) {
        return problem(
            "AADSTS50020: this account does not exist in the tenant or domain that was asked for.",
        );
    }
    let code = authorize(&app, &mut state, &place, &asked, &person, granted);
    drop(state);
    tell(&[("code", &code)])
}

/// Asked scopes without those that were ticked off.
fn ticked(asked: &Asked, answer: &Pairs) -> BTreeSet<String> {
    let named = |field: &str, scope: &str| {
        answer
            .iter()
            .any(|(name, value)| name == field && value == scope)
    };
    let by_page = first(answer, "ticks").is_some();
    asked
        .scopes
        .iter()
        .filter(|scope| {
            IDENTITY.contains(&scope.as_str())
                || (!named("untick", scope) && (!by_page || named("tick", scope)))
        })
        .cloned()
        .collect()
}

fn authorize(
    app: &App,
    state: &mut State,
    place: &Place,
    asked: &Asked,
    person: &Person,
    mut granted: BTreeSet<String>,
) -> String {
    let flavour = place.flavour;
    let consent_key = (flavour, person.id.clone());
    let before = state.consents.get(&consent_key).cloned();
    let refresh_token = match flavour {
        // Google: offline access, and a first consent or one that was asked for.
        // New scopes make it a first consent again.
        Flavour::Google => {
            let consents = asked.prompt.contains("consent")
                || before.as_ref().is_none_or(|before| {
                    granted
                        .iter()
                        .any(|scope| !IDENTITY.contains(&scope.as_str()) && !before.contains(scope))
                });
            asked.offline && consents
        }
        Flavour::Microsoft | Flavour::Oidc => granted.contains("offline_access"),
    };
    if flavour == Flavour::Google
        && asked.include_granted
        && let Some(before) = &before
    {
        granted.extend(before.iter().cloned());
    }
    state
        .consents
        .entry(consent_key)
        .or_default()
        .extend(granted.iter().cloned());
    let code = random::token(match flavour {
        Flavour::Google => "4/demo-code-",
        Flavour::Microsoft => "0.demo-code-",
        Flavour::Oidc => "demo-code-",
    });
    state.note(flavour, "code", &code, &person.id);
    state.codes.insert(
        code.clone(),
        Code {
            flavour,
            person: person.id.clone(),
            redirect_uri: asked.redirect_text.clone(),
            challenge: asked.challenge.clone(),
            nonce: asked.nonce.clone(),
            scopes: granted,
            refresh_token,
            expires_at: app.now() + 600,
            spent_by: None,
        },
    );
    code
}
