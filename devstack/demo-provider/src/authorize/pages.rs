//! The pages of the authorization endpoint.

use actix_web::HttpResponse;
use askama::Template;
use url::Url;

use super::request::{AuthorizationRequest, IDENTITY_SCOPES, is_eligible};
use crate::Flavour;
use crate::app::{App, Realm};
use crate::people::Person;

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

#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPostPage {
    action: String,
    fields: Vec<(String, String)>,
}

/// Returns the response as a form that submits itself (OAuth 2.0 Form Post Response Mode).
pub(super) fn form_post(callback: &Url) -> HttpResponse {
    let mut action = callback.clone();
    action.set_query(None);
    let template = FormPostPage {
        action: action.to_string(),
        fields: callback.query_pairs().into_owned().collect(),
    };
    page(&template, false)
}

pub(super) fn problem(text: &str) -> HttpResponse {
    page(&ProblemPage { problem: text }, true)
}

fn page(template: &impl Template, is_error: bool) -> HttpResponse {
    let Ok(html) = template.render() else {
        return HttpResponse::InternalServerError().finish();
    };
    let mut answer = if is_error {
        HttpResponse::BadRequest()
    } else {
        HttpResponse::Ok()
    };
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header(("Cache-Control", "no-store"))
        .body(html)
}

pub(super) fn consent_page(
    app: &App,
    realm: &Realm,
    authorization: &AuthorizationRequest,
    action: &str,
) -> HttpResponse {
    let state = app.state();
    let flavour = realm.flavour;
    let people: Vec<Choice<'_>> = state
        .people
        .iter()
        .filter(|person| is_eligible(realm, authorization, person))
        .enumerate()
        .map(|(position, person)| Choice {
            person,
            chosen: authorization
                .login_hint
                .as_deref()
                .map_or(position == 0, |hint| {
                    hint == person.email || hint == person.id
                }),
            note: if person.verified {
                ""
            } else {
                "address not verified"
            },
        })
        .collect();
    let known = state.consents.keys().any(|(of, _)| *of == flavour)
        && !authorization.prompt.contains("consent");
    let title = match flavour {
        Flavour::Google => "Demo Google",
        Flavour::Microsoft => "Demo Microsoft",
        Flavour::Oidc => "Demo OpenID",
    };
    let scopes = authorization
        .scopes
        .iter()
        .map(String::as_str)
        .filter(|scope| !IDENTITY_SCOPES.contains(scope))
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
