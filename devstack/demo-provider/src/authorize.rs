//! The consent page and the person's decision.

mod pages;
mod request;

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::http::header::LOCATION;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use url::{Url, form_urlencoded};

use self::pages::{consent_page, form_post, problem};
use self::request::{
    AuthorizationError, AuthorizationRequest, IDENTITY_SCOPES, Pairs, callback, first, is_eligible,
    pushed, read,
};
use crate::app::{App, Realm};
use crate::people::Person;
use crate::random_token;
use crate::state::{AuthorizationCode, Requested, State};
use crate::{Endpoint, Flavour};

fn pairs(text: &[u8]) -> Pairs {
    form_urlencoded::parse(text).into_owned().collect()
}

fn error_response(error: AuthorizationError) -> HttpResponse {
    match error {
        AuthorizationError::Page(text) => problem(&text),
        AuthorizationError::Redirect(url) => see_other(&url),
    }
}

fn see_other(url: &Url) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, url.as_str()))
        .insert_header(("Cache-Control", "no-store"))
        .finish()
}

/// `GET`: shows the page.
pub(crate) async fn show(request: HttpRequest, app: Data<Arc<App>>) -> HttpResponse {
    let Some(realm) = Realm::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    app.serve(&request, &realm, Endpoint::Authorize, None, || {
        let query = pairs(request.query_string().as_bytes());
        match pushed(&app, &realm, &query).and_then(|query| read(&app, &realm, &query)) {
            Ok(authorization) => consent_page(
                &app,
                &realm,
                &authorization,
                request.uri().to_string().as_str(),
            ),
            Err(error) => error_response(error),
        }
    })
    .await
}

/// `POST`: handles the person's decision.
///
/// Form fields: `person` (short name or address), `decision` (`allow`, the default, or `deny`),
/// `error` (an error code to respond with), `untick` (a scope to deselect, repeatable). The
/// page itself sends `ticks=1` and a `tick` for each selected scope.
pub(crate) async fn decide(request: HttpRequest, app: Data<Arc<App>>, body: Bytes) -> HttpResponse {
    let Some(realm) = Realm::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    let query = pairs(request.query_string().as_bytes());
    let answer = pairs(&body);
    let read = pushed(&app, &realm, &query).and_then(|query| read(&app, &realm, &query));
    let authorization = match read {
        Ok(authorization) => authorization,
        Err(error) => return error_response(error),
    };
    let redirect = |parameters: &[(&str, &str)]| {
        let mut parameters = parameters.to_vec();
        if let Some(state) = &authorization.state {
            parameters.push(("state", state));
        }
        let url = callback(&app, &realm, &authorization.redirect_uri, &parameters);
        if authorization.form_post_mode {
            form_post(&url)
        } else {
            see_other(&url)
        }
    };
    if let Some(error) = first(&answer, "error") {
        return redirect(&[
            ("error", error),
            ("error_description", "The test requested this error."),
        ]);
    }
    if first(&answer, "decision") == Some("deny") {
        return redirect(&[
            ("error", "access_denied"),
            ("error_description", "The person denied the request."),
        ]);
    }
    let who = first(&answer, "person")
        .or(authorization.login_hint.as_deref())
        .unwrap_or("ada");
    let granted = granted_scopes(&authorization, &answer);
    let mut state = app.state();
    let Some(person) = state.people.get(who).cloned() else {
        return problem("There is no account with this name.");
    };
    if !is_eligible(&realm, &authorization, &person) {
        return problem(
            "AADSTS50020: this account does not exist in the tenant or domain that was asked for.",
        );
    }
    let code = authorize(&app, &mut state, &realm, &authorization, &person, granted);
    if let Some(uri) = first(&query, "request_uri") {
        state.pushed_requests.remove(uri);
    }
    drop(state);
    redirect(&[("code", &code)])
}

/// Returns the requested scopes without those that the person deselected.
fn granted_scopes(authorization: &AuthorizationRequest, answer: &Pairs) -> BTreeSet<String> {
    let named = |field: &str, scope: &str| {
        answer
            .iter()
            .any(|(name, value)| name == field && value == scope)
    };
    let by_page = first(answer, "ticks").is_some();
    authorization
        .scopes
        .iter()
        .filter(|scope| {
            IDENTITY_SCOPES.contains(&scope.as_str())
                || (!named("untick", scope) && (!by_page || named("tick", scope)))
        })
        .cloned()
        .collect()
}

fn authorize(
    app: &App,
    state: &mut State,
    realm: &Realm,
    authorization: &AuthorizationRequest,
    person: &Person,
    mut granted: BTreeSet<String>,
) -> String {
    let flavour = realm.flavour;
    let consent_key = (flavour, person.id.clone());
    let before = state.consents.get(&consent_key).cloned();
    let refresh_token = match flavour {
        // Google issues a refresh token for offline access if this is the first consent or
        // consent was requested. New scopes count as a first consent.
        Flavour::Google => {
            let consents = authorization.prompt.contains("consent")
                || before.as_ref().is_none_or(|before| {
                    granted.iter().any(|scope| {
                        !IDENTITY_SCOPES.contains(&scope.as_str()) && !before.contains(scope)
                    })
                });
            authorization.offline && consents
        }
        Flavour::Microsoft | Flavour::Oidc => granted.contains("offline_access"),
    };
    if flavour == Flavour::Google
        && authorization.include_granted
        && let Some(before) = &before
    {
        granted.extend(before.iter().cloned());
    }
    state
        .consents
        .entry(consent_key)
        .or_default()
        .extend(granted.iter().cloned());
    let code = random_token::new(match flavour {
        Flavour::Google => "4/demo-code-",
        Flavour::Microsoft => "0.demo-code-",
        Flavour::Oidc => "demo-code-",
    });
    state.record_issued(flavour, "code", &code, &person.id);
    state.codes.insert(
        code.clone(),
        AuthorizationCode {
            flavour,
            person: person.id.clone(),
            redirect_uri: authorization.redirect_text.clone(),
            challenge: authorization.challenge.clone(),
            requested: Requested {
                nonce: authorization.nonce.clone(),
                acr: authorization.acr.clone(),
                auth_time: authorization.max_age.is_some().then(|| app.now()),
            },
            scopes: granted,
            refresh_token,
            expires_at: app.now() + 600,
            redeemed_by: None,
        },
    );
    code
}
