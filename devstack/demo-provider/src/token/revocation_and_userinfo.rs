//! The revocation and userinfo endpoints.

use std::sync::Arc;

use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::client_assertion;
use super::client_authentication::client_is_authenticated;
use super::error_response::{CLIENT, REQUEST, bad_request};
use super::form;
use crate::app::{App, Realm};
use crate::id_token::sign_userinfo;
use crate::{Endpoint, Flavour, Misbehaviour};

pub(crate) async fn revoke(request: HttpRequest, app: Data<Arc<App>>, body: Bytes) -> HttpResponse {
    let Some(realm) = Realm::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    let form = form(&body);
    client_assertion::fetch_keys(&app, &form).await;
    app.serve(&request, &realm, Endpoint::Revocation, None, || {
        if realm.flavour == Flavour::Oidc && !client_is_authenticated(&app, &request, &form) {
            return CLIENT.to_response(realm.flavour);
        }
        let Some(token) = form.get("token") else {
            return REQUEST.to_response(realm.flavour);
        };
        let mut state = app.state();
        match (state.tokens.grant_of(token).cloned(), realm.flavour) {
            // Google revokes all grants of the person to the client.
            (Some(grant), Flavour::Google) => {
                state.revoke_person(&grant.person, Some(Flavour::Google));
            }
            (Some(grant), _) => state.tokens.revoke_family(&grant.person, &grant.family),
            // Google reports an unknown token; RFC 7009 does not.
            (None, Flavour::Google) => {
                return bad_request("invalid_token", "Token expired or revoked", 0)
                    .to_response(realm.flavour);
            }
            (None, _) => {}
        }
        HttpResponse::Ok().json(json!({}))
    })
    .await
}

pub(crate) async fn userinfo(request: HttpRequest, app: Data<Arc<App>>) -> HttpResponse {
    let Some(realm) = Realm::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    app.serve(&request, &realm, Endpoint::Userinfo, None, || {
        let state = app.state();
        let claims = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .and_then(|token| state.tokens.access(token))
            .filter(|token| token.grant.flavour == realm.flavour && token.expires_at > app.now())
            .and_then(|token| Some((state.people.get(&token.grant.person)?, &token.grant.scopes)))
            .map(|(person, scopes)| {
                let mut claims = match realm.flavour {
                    Flavour::Google => person.google_claims(),
                    Flavour::Microsoft => person.microsoft_claims(),
                    Flavour::Oidc => person.oidc_claims(),
                };
                // OpenID Connect Core section 5.4.
                if !scopes.contains("email") {
                    claims.remove("email");
                    claims.remove("email_verified");
                }
                if !scopes.contains("profile") {
                    claims.remove("name");
                }
                claims
            });
        match claims {
            Some(mut claims) => {
                if state.misbehaves(realm.flavour, Misbehaviour::OtherUserinfoSubject) {
                    claims.insert("sub".into(), json!("another-subject"));
                }
                let signs = [
                    Misbehaviour::SignedUserinfo,
                    Misbehaviour::ForgedUserinfo,
                    Misbehaviour::UserinfoOfAnotherClient,
                ];
                if signs
                    .iter()
                    .any(|how| state.misbehaves(realm.flavour, *how))
                {
                    return match sign_userinfo(&app, &state, realm.flavour, claims) {
                        Ok(jwt) => HttpResponse::Ok().content_type("application/jwt").body(jwt),
                        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
                    };
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
