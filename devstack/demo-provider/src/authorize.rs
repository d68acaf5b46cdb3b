//! The page that asks a person, and what becomes of their answer.

mod page;
mod request;

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::http::header::LOCATION;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use url::{Url, form_urlencoded};

use self::page::{consent_page, form_post, problem};
use self::request::{Asked, Fault, Pairs, callback, first, may_enter, read};
use crate::app::{App, Place};
use crate::people::Person;
use crate::random;
use crate::state::{Code, State};
use crate::{Endpoint, Flavour};

/// Scopes that say who a person is: not ticked off one by one.
const IDENTITY: [&str; 4] = ["openid", "email", "profile", "offline_access"];

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
        let url = callback(&app, &place, &asked.redirect_uri, &parameters);
        if asked.by_form {
            form_post(&url)
        } else {
            see_other(&url)
        }
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
