//! Token, revocation and userinfo endpoints.

mod client;
mod refusal;
mod resource;

use std::sync::Arc;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use self::client::{Form, client_is_known, client_method};
use self::refusal::{CLIENT, CODE, GRANT, PKCE, REDIRECT, REQUEST, Refusal, TYPE};
pub(crate) use self::resource::{revoke, userinfo};
use crate::app::{App, Place};
use crate::id_token::{self, Subject};
use crate::random;
use crate::state::{Access, Refresh, State};
use crate::{Dialect, Endpoint, ExpiresIn, Flavour, Misbehaviour};

fn form(body: &[u8]) -> Form {
    url::form_urlencoded::parse(body).into_owned().collect()
}

pub(crate) async fn token(request: HttpRequest, app: Data<Arc<App>>, body: Bytes) -> HttpResponse {
    let Some(place) = Place::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    let form = form(&body);
    let grant_type = form.get("grant_type").map(String::as_str);
    app.serve(&request, &place, Endpoint::Token, grant_type, || {
        let answer = if client_is_known(&app, &request, &form) {
            let method = client_method(&request, &form);
            app.state()
                .count(place.flavour, Endpoint::Client, Some(method));
            match grant_type {
                Some("authorization_code") => exchange(&app, &place, &form),
                Some("refresh_token") => refresh_in_dialect(&app, &place, &form),
                _ => Err(TYPE),
            }
        } else {
            Err(CLIENT)
        };
        answer.unwrap_or_else(|refusal| refusal.answer(place.flavour))
    })
    .await
}

fn exchange(app: &App, place: &Place, form: &Form) -> Result<HttpResponse, Refusal> {
    let given = form.get("code").ok_or(REQUEST)?;
    let mut state = app.state();
    let without_pkce = state.misbehaves(place.flavour, Misbehaviour::IgnoresPkce);
    let verifier = form.get("code_verifier").ok_or(PKCE)?;
    let code = state.codes.get(given).cloned().ok_or(CODE)?;
    let reusable = state.misbehaves(place.flavour, Misbehaviour::ReusableCodes);
    if let Some(family) = code.spent_by.as_ref().filter(|_| !reusable) {
        // RFC 6749 section 4.1.2: what came of the code is revoked.
        state.revoke_family(family);
        return Err(CODE);
    }
    if code.flavour != place.flavour || code.expires_at < app.now() {
        return Err(CODE);
    }
    if form.get("redirect_uri") != Some(&code.redirect_uri) {
        return Err(REDIRECT);
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    if !without_pkce && URL_SAFE_NO_PAD.encode(digest.as_ref()) != code.challenge {
        return Err(PKCE);
    }
    let family = random::token("family-");
    if let Some(code) = state.codes.get_mut(given) {
        code.spent_by = Some(family.clone());
    }
    let grant = Refresh {
        flavour: code.flavour,
        person: code.person,
        scopes: code.scopes,
        family,
        used: false,
    };
    let refresh_token = code.refresh_token.then(|| keep(&mut state, &grant));
    Ok(answer(
        app,
        &mut state,
        &grant,
        refresh_token,
        code.nonce.as_deref(),
        true,
    ))
}

/// Keeps a new refresh token.
fn keep(state: &mut State, grant: &Refresh) -> String {
    let token = random::token(match grant.flavour {
        Flavour::Google => "1//demo-refresh-",
        Flavour::Microsoft => "0.demo-refresh-",
        Flavour::Oidc => "demo-refresh-",
    });
    state.note(grant.flavour, "refresh_token", &token, &grant.person);
    state.refresh.insert(
        token.clone(),
        Refresh {
            used: false,
            ..grant.clone()
        },
    );
    token
}

/// A refresh, answered in the words that were chosen for it.
fn refresh_in_dialect(app: &App, place: &Place, form: &Form) -> Result<HttpResponse, Refusal> {
    let dialect_of = |token: &String| app.state().dialects.get(token).copied();
    if let Some(dialect) = form.get("refresh_token").and_then(dialect_of) {
        return Ok(dialect.answer());
    }
    refresh(app, place, form).or_else(|refusal| {
        let chosen = app.state().settings.dead_grant.clone();
        match chosen.as_deref().and_then(Dialect::named) {
            Some(dialect) if refusal.is_of_the_grant() => Ok(dialect.answer()),
            _ => Err(refusal),
        }
    })
}

fn refresh(app: &App, place: &Place, form: &Form) -> Result<HttpResponse, Refusal> {
    let given = form.get("refresh_token").ok_or(REQUEST)?;
    let mut state = app.state();
    let grant = state.refresh.get(given).cloned().ok_or(GRANT)?;
    if grant.flavour != place.flavour {
        return Err(GRANT);
    }
    let rotated = match place.flavour {
        Flavour::Google => None,
        Flavour::Microsoft => Some(keep(&mut state, &grant)),
        Flavour::Oidc if grant.used => {
            // OAuth 2.0 Security BCP section 4.14.2: reuse ends the family.
            state.revoke_family(&grant.family);
            return Err(GRANT);
        }
        Flavour::Oidc => {
            if let Some(old) = state.refresh.get_mut(given) {
                old.used = true;
            }
            Some(keep(&mut state, &grant))
        }
    };
    let with_id_token = state.settings.id_token_on_refresh;
    Ok(answer(
        app,
        &mut state,
        &grant,
        rotated,
        None,
        with_id_token,
    ))
}

fn answer(
    app: &App,
    state: &mut State,
    grant: &Refresh,
    refresh_token: Option<String>,
    nonce: Option<&str>,
    with_id_token: bool,
) -> HttpResponse {
    let flavour = grant.flavour;
    let lifetime = state.settings.access_token_lifetime_s;
    let access_token = issue_access(app, state, grant);
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
        && let Some(person) = state.person(&grant.person)
    {
        let subject = Subject {
            flavour,
            person,
            scopes: &grant.scopes,
            nonce,
            access_token: &access_token,
        };
        match id_token::issue(app, state, &subject) {
            Ok(token) => {
                state.note(flavour, "id_token", &token, &grant.person);
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

fn issue_access(app: &App, state: &mut State, grant: &Refresh) -> String {
    let token = random::token(match grant.flavour {
        Flavour::Google => "ya29.demo-access-",
        Flavour::Microsoft => "EwB.demo-access-",
        Flavour::Oidc => "demo-access-",
    });
    let lifetime = i64::try_from(state.settings.access_token_lifetime_s).unwrap_or(i64::MAX / 2);
    state.note(grant.flavour, "access_token", &token, &grant.person);
    state.access.insert(
        token.clone(),
        Access {
            flavour: grant.flavour,
            person: grant.person.clone(),
            scopes: grant.scopes.clone(),
            family: grant.family.clone(),
            expires_at: app.now() + lifetime,
        },
    );
    token
}

/// Access and refresh token of a grant that no browser asked for.
pub(crate) fn grant(
    app: &App,
    flavour: Flavour,
    person: &str,
    scopes: &[&str],
) -> Option<(String, String)> {
    let mut state = app.state();
    let grant = Refresh {
        flavour,
        person: state.person(person)?.id.clone(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        family: random::token("family-"),
        used: false,
    };
    let refresh_token = keep(&mut state, &grant);
    Some((issue_access(app, &mut state, &grant), refresh_token))
}

/// Granted scopes as the flavour writes them.
fn scope_text(flavour: Flavour, grant: &Refresh) -> String {
    let scopes = grant.scopes.iter().map(String::as_str);
    let scopes: Vec<&str> = match flavour {
        Flavour::Google => scopes
            .map(|scope| match scope {
                "email" => "https://www.googleapis.com/auth/userinfo.email",
                "profile" => "https://www.googleapis.com/auth/userinfo.profile",
                other => other,
            })
            .collect(),
        // Microsoft does not list it.
        Flavour::Microsoft => scopes.filter(|scope| *scope != "offline_access").collect(),
        Flavour::Oidc => scopes.collect(),
    };
    scopes.join(" ")
}
