//! Token, revocation and userinfo endpoints.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::app::{App, Place};
use crate::id_token::{self, Subject};
use crate::random;
use crate::state::{Access, Refresh, State};
use crate::{Endpoint, ExpiresIn, Flavour, Misbehaviour};

type Form = HashMap<String, String>;

fn form(body: &[u8]) -> Form {
    url::form_urlencoded::parse(body).into_owned().collect()
}

/// A refusal, in the flavour's words.
struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
    /// Number of Microsoft's AADSTS code.
    number: u32,
}

const fn bad(error: &'static str, description: &'static str, number: u32) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        error,
        description,
        number,
    }
}

const CLIENT: Refusal = Refusal {
    status: StatusCode::UNAUTHORIZED,
    error: "invalid_client",
    description: "Invalid client secret provided.",
    number: 7_000_215,
};
const GRANT: Refusal = bad("invalid_grant", "Token has been expired or revoked.", 50173);
const CODE: Refusal = bad(
    "invalid_grant",
    "The code is unknown, spent or expired.",
    54005,
);
const PKCE: Refusal = bad("invalid_grant", "The code verifier does not fit.", 501_481);
const REDIRECT: Refusal = bad("invalid_grant", "The redirect_uri is another.", 50011);
const TYPE: Refusal = bad(
    "unsupported_grant_type",
    "This grant type is not known.",
    70003,
);
const REQUEST: Refusal = bad("invalid_request", "A parameter is missing.", 900_144);

impl Refusal {
    fn answer(&self, flavour: Flavour) -> HttpResponse {
        let mut body = json!({"error": self.error, "error_description": self.description});
        if flavour == Flavour::Microsoft {
            let trace = "00000000-0000-4000-8000-000000000000";
            body["error_description"] = json!(format!(
                "AADSTS{}: {} Trace ID: {trace} Correlation ID: {trace} Timestamp: 2026-11-24 07:00:00Z",
                self.number, self.description
            ));
            body["error_codes"] = json!([self.number]);
            body["trace_id"] = json!(trace);
            body["correlation_id"] = json!(trace);
        }
        HttpResponse::build(self.status).json(body)
    }
}

fn client_is_known(app: &App, request: &HttpRequest, form: &Form) -> bool {
    let expected = (&app.config.client_id, &app.config.client_secret);
    let basic = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|value| STANDARD.decode(value).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(basic) = basic else {
        return (form.get("client_id"), form.get("client_secret"))
            == (Some(expected.0), Some(expected.1));
    };
    let decode = |part: &str| {
        url::form_urlencoded::parse(format!("v={part}").as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    basic
        .split_once(':')
        .is_some_and(|(id, secret)| (&decode(id), &decode(secret)) == expected)
}

pub(crate) async fn token(request: HttpRequest, app: Data<Arc<App>>, body: Bytes) -> HttpResponse {
    let Some(place) = Place::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    let form = form(&body);
    let grant_type = form.get("grant_type").map(String::as_str);
    app.serve(&request, &place, Endpoint::Token, grant_type, || {
        let answer = if client_is_known(&app, &request, &form) {
            match grant_type {
                Some("authorization_code") => exchange(&app, &place, &form),
                Some("refresh_token") => refresh(&app, &place, &form),
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
    let verifier = form.get("code_verifier").ok_or(PKCE)?;
    let mut state = app.state();
    let code = state.codes.get(given).cloned().ok_or(CODE)?;
    if let Some(family) = &code.spent_by {
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
    if URL_SAFE_NO_PAD.encode(digest.as_ref()) != code.challenge {
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

pub(crate) async fn revoke(request: HttpRequest, app: Data<Arc<App>>, body: Bytes) -> HttpResponse {
    let Some(place) = Place::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    let form = form(&body);
    app.serve(&request, &place, Endpoint::Revocation, None, || {
        if place.flavour == Flavour::Oidc && !client_is_known(&app, &request, &form) {
            return CLIENT.answer(place.flavour);
        }
        let Some(token) = form.get("token") else {
            return REQUEST.answer(place.flavour);
        };
        let mut state = app.state();
        let found = state
            .refresh
            .get(token)
            .map(|grant| (grant.family.clone(), grant.person.clone()))
            .or_else(|| {
                let access = state.access.get(token)?;
                Some((access.family.clone(), access.person.clone()))
            });
        match (found, place.flavour) {
            // Google revokes the whole grant of the person to the client.
            (Some((_, person)), Flavour::Google) => {
                state.revoke_person(&person, Some(Flavour::Google));
            }
            (Some((family, _)), _) => state.revoke_family(&family),
            // Google tells, RFC 7009 does not.
            (None, Flavour::Google) => {
                return bad("invalid_token", "Token expired or revoked", 0).answer(place.flavour);
            }
            (None, _) => {}
        }
        HttpResponse::Ok().json(json!({}))
    })
    .await
}

pub(crate) async fn userinfo(request: HttpRequest, app: Data<Arc<App>>) -> HttpResponse {
    let Some(place) = Place::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    app.serve(&request, &place, Endpoint::Userinfo, None, || {
        let state = app.state();
        let claims = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .and_then(|token| state.access.get(token))
            .filter(|token| token.flavour == place.flavour && token.expires_at > app.now())
            .and_then(|token| state.person(&token.person))
            .map(|person| match place.flavour {
                Flavour::Google => person.google_claims(),
                Flavour::Microsoft => person.microsoft_claims(),
                Flavour::Oidc => person.oidc_claims(),
            });
        match claims {
            Some(mut claims) => {
                if state.misbehaves(place.flavour, Misbehaviour::OtherUserinfoSubject) {
                    claims.insert("sub".into(), json!("another-subject"));
                }
                HttpResponse::Ok().json(Value::Object(claims))
            }
            None => HttpResponse::Unauthorized()
                .insert_header(("WWW-Authenticate", "Bearer error=\"invalid_token\""))
                .json(json!({"error": "invalid_token"})),
        }
    })
    .await
}
