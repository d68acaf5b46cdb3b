//! Token, revocation and userinfo endpoints.

mod client_assertion;
mod client_authentication;
mod error_response;
mod pushed_authorization;
mod revocation_and_userinfo;

use std::sync::Arc;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use self::client_authentication::{Form, client_auth_method, client_is_authenticated};
use self::error_response::{CLIENT, CODE, ErrorResponse, GRANT, PKCE, REDIRECT, REQUEST, TYPE};
pub(crate) use self::pushed_authorization::push_authorization;
pub(crate) use self::revocation_and_userinfo::{revoke, userinfo};
use crate::app::{App, Realm};
use crate::id_token::{self, Subject};
use crate::random_token;
use crate::state::{Requested, State};
use crate::tokens::{Grant, RefreshToken};
use crate::{Endpoint, ExpiresIn, Flavour, Misbehaviour, PresentedRefreshToken, SampleResponse};

fn form(body: &[u8]) -> Form {
    url::form_urlencoded::parse(body).into_owned().collect()
}

pub(crate) async fn token(request: HttpRequest, app: Data<Arc<App>>, body: Bytes) -> HttpResponse {
    let Some(realm) = Realm::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    let form = form(&body);
    client_assertion::fetch_keys(&app, &form).await;
    let grant_type = form.get("grant_type").map(String::as_str);
    app.serve(&request, &realm, Endpoint::Token, grant_type, || {
        let answer = if client_is_authenticated(&app, &request, &form) {
            let method = client_auth_method(&request, &form);
            client_assertion::count_key(&app, &form);
            app.state()
                .count(realm.flavour, Endpoint::Client, Some(method));
            match grant_type {
                Some("authorization_code") => exchange(&app, &realm, &form),
                Some("refresh_token") => refresh_or_sample(&app, &realm, &form),
                _ => Err(TYPE),
            }
        } else {
            Err(CLIENT)
        };
        answer.unwrap_or_else(|error| error.to_response(realm.flavour))
    })
    .await
}

fn exchange(app: &App, realm: &Realm, form: &Form) -> Result<HttpResponse, ErrorResponse> {
    let given = form.get("code").ok_or(REQUEST)?;
    let mut state = app.state();
    let without_pkce = state.misbehaves(realm.flavour, Misbehaviour::IgnoresPkce);
    let verifier = form.get("code_verifier").ok_or(PKCE)?;
    let code = state.codes.get(given).cloned().ok_or(CODE)?;
    let reusable = state.misbehaves(realm.flavour, Misbehaviour::ReusableCodes);
    if let Some(family) = code.redeemed_by.as_ref().filter(|_| !reusable) {
        // RFC 6749 section 4.1.2: the tokens that were issued for the code are revoked.
        state.tokens.revoke_family(&code.person, family);
        return Err(CODE);
    }
    if code.flavour != realm.flavour || code.expires_at < app.now() {
        return Err(CODE);
    }
    if form.get("redirect_uri") != Some(&code.redirect_uri) {
        return Err(REDIRECT);
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    if !without_pkce && URL_SAFE_NO_PAD.encode(digest.as_ref()) != code.challenge {
        return Err(PKCE);
    }
    let family = random_token::new("family-");
    if let Some(code) = state.codes.get_mut(given) {
        code.redeemed_by = Some(family.clone());
    }
    let grant = Grant {
        flavour: code.flavour,
        person: code.person,
        scopes: code.scopes,
        family,
    };
    let refresh_token = code
        .refresh_token
        .then(|| issue_refresh_token(&mut state, &grant));
    Ok(token_response(
        app,
        &mut state,
        &grant,
        refresh_token,
        &code.requested,
        true,
    ))
}

/// Issues a new refresh token.
fn issue_refresh_token(state: &mut State, grant: &Grant) -> String {
    let token = random_token::new(match grant.flavour {
        Flavour::Google => "1//demo-refresh-",
        Flavour::Microsoft => "0.demo-refresh-",
        Flavour::Oidc => "demo-refresh-",
    });
    state.record_issued(grant.flavour, "refresh_token", &token, &grant.person);
    state.tokens.insert_refresh(token.clone(), grant.clone());
    token
}

/// Handles a refresh, with a sample response if one was chosen.
fn refresh_or_sample(app: &App, realm: &Realm, form: &Form) -> Result<HttpResponse, ErrorResponse> {
    let sample_for = |token: &String| app.state().sample_responses.get(token).copied();
    if let Some(sample) = form.get("refresh_token").and_then(sample_for) {
        return Ok(sample.to_response());
    }
    refresh(app, realm, form).or_else(|error| {
        let chosen = app.state().settings.dead_grant.clone();
        match chosen.as_deref().and_then(SampleResponse::named) {
            Some(sample) if error.is_of_the_grant() => Ok(sample.to_response()),
            _ => Err(error),
        }
    })
}

fn refresh(app: &App, realm: &Realm, form: &Form) -> Result<HttpResponse, ErrorResponse> {
    let given = form.get("refresh_token").ok_or(REQUEST)?;
    let mut state = app.state();
    let known = state.tokens.refresh(given).cloned();
    let known = known.filter(|known| known.grant.flavour == realm.flavour);
    let accepted = known.as_ref().is_some_and(|known| !known.used);
    state.presented.push(PresentedRefreshToken {
        flavour: realm.flavour,
        token: given.clone(),
        at: app.config.clock.now(),
        accepted,
    });
    let RefreshToken { grant, used } = known.ok_or(GRANT)?;
    let rotated = match realm.flavour {
        Flavour::Google => None,
        Flavour::Microsoft => Some(issue_refresh_token(&mut state, &grant)),
        Flavour::Oidc if used => {
            // OAuth 2.0 Security BCP section 4.14.2: reuse revokes the token family.
            state.tokens.revoke_family(&grant.person, &grant.family);
            return Err(GRANT);
        }
        Flavour::Oidc => {
            state.tokens.mark_used(given);
            Some(issue_refresh_token(&mut state, &grant))
        }
    };
    let with_id_token = state.settings.id_token_on_refresh;
    Ok(token_response(
        app,
        &mut state,
        &grant,
        rotated,
        &Requested::default(),
        with_id_token,
    ))
}

fn token_response(
    app: &App,
    state: &mut State,
    grant: &Grant,
    refresh_token: Option<String>,
    requested: &Requested,
    with_id_token: bool,
) -> HttpResponse {
    let flavour = grant.flavour;
    let lifetime = state.settings.access_token_lifetime_s;
    let access_token = issue_access_token(app, state, grant);
    let mut body = json!({"access_token": access_token, "token_type": "Bearer"});
    match state.settings.expires_in {
        ExpiresIn::Number => body["expires_in"] = json!(lifetime),
        ExpiresIn::Text => body["expires_in"] = json!(lifetime.to_string()),
        ExpiresIn::Absent => {}
        ExpiresIn::Absurd => body["expires_in"] = json!(-1),
    }
    if !state.settings.omit_scope {
        body["scope"] = json!(scope_text(flavour, grant));
    }
    if let Some(token) = refresh_token {
        body["refresh_token"] = json!(token);
    }
    let silent = state.misbehaves(flavour, Misbehaviour::NoIdToken);
    if with_id_token
        && !silent
        && grant.scopes.contains("openid")
        && let Some(person) = state.people.get(&grant.person)
    {
        let subject = Subject {
            flavour,
            person,
            scopes: &grant.scopes,
            requested,
            access_token: &access_token,
        };
        match id_token::issue(app, state, &subject) {
            Ok(token) => {
                state.record_issued(flavour, "id_token", &token, &grant.person);
                body["id_token"] = json!(token);
            }
            Err(_) => return HttpResponse::InternalServerError().finish(),
        }
    }
    for (name, value) in &state.settings.token_answer {
        body[name] = value.clone();
    }
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .json(body)
}

fn issue_access_token(app: &App, state: &mut State, grant: &Grant) -> String {
    let token = random_token::new(match grant.flavour {
        Flavour::Google => "ya29.demo-access-",
        Flavour::Microsoft => "EwB.demo-access-",
        Flavour::Oidc => "demo-access-",
    });
    let lifetime = i64::try_from(state.settings.access_token_lifetime_s).unwrap_or(i64::MAX / 2);
    state.record_issued(grant.flavour, "access_token", &token, &grant.person);
    let expires_at = app.now() + lifetime;
    state
        .tokens
        .insert_access(token.clone(), grant.clone(), expires_at);
    token
}

/// Issues access and refresh token of a new grant without a browser.
pub(crate) fn grant(
    app: &App,
    flavour: Flavour,
    person: &str,
    scopes: &[&str],
) -> Option<(String, String)> {
    let mut state = app.state();
    let grant = Grant {
        flavour,
        person: state.people.get(person)?.id.clone(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        family: random_token::new("family-"),
    };
    let refresh_token = issue_refresh_token(&mut state, &grant);
    Some((issue_access_token(app, &mut state, &grant), refresh_token))
}

/// Returns the granted scopes in the notation of the flavour.
fn scope_text(flavour: Flavour, grant: &Grant) -> String {
    let scopes = grant.scopes.iter().map(String::as_str);
    let scopes: Vec<&str> = match flavour {
        Flavour::Google => scopes
            .map(|scope| match scope {
                "email" => "https://www.googleapis.com/auth/userinfo.email",
                "profile" => "https://www.googleapis.com/auth/userinfo.profile",
                other => other,
            })
            .collect(),
        // Microsoft does not list this scope.
        Flavour::Microsoft => scopes.filter(|scope| *scope != "offline_access").collect(),
        Flavour::Oidc => scopes.collect(),
    };
    scopes.join(" ")
}
