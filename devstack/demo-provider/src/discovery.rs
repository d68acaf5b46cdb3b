//! The discovery document and the key set.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::app::{App, Realm};
use crate::keys::SigningKey;
use crate::{Endpoint, Flavour, Misbehaviour};

fn document(app: &App, realm: &Realm) -> Value {
    let state = app.state();
    let flavour = realm.flavour;
    let tenant = realm.tenant.as_deref().unwrap_or_default();
    let multi_tenant = matches!(tenant, "common" | "organizations");
    let issuer = if state.misbehaves(flavour, Misbehaviour::WrongDiscoveryIssuer) {
        "https://evil.example".to_owned()
    } else if multi_tenant {
        // Microsoft's document contains exactly this placeholder.
        app.issuer(flavour, "{tenantid}")
    } else if tenant == "consumers" {
        app.issuer(flavour, crate::people::PERSONAL_TENANT)
    } else {
        app.issuer(flavour, tenant)
    };
    let base = &app.base;
    let mut document = match flavour {
        Flavour::Google | Flavour::Oidc => {
            let root = format!("{base}/{}", flavour.name());
            json!({
                "authorization_endpoint": format!("{root}/authorize"),
                "token_endpoint": format!("{root}/token"),
                "jwks_uri": format!("{root}/jwks"),
                "userinfo_endpoint": format!("{root}/userinfo"),
            })
        }
        Flavour::Microsoft => {
            let root = format!("{base}/microsoft/{tenant}");
            json!({
                "authorization_endpoint": format!("{root}/oauth2/v2.0/authorize"),
                "token_endpoint": format!("{root}/oauth2/v2.0/token"),
                "jwks_uri": format!("{root}/discovery/v2.0/keys"),
                "userinfo_endpoint": format!("{base}/graph/{tenant}/userinfo"),
            })
        }
    };
    let algorithm = state
        .keys(flavour)
        .first()
        .map_or("RS256", SigningKey::algorithm);
    document["issuer"] = json!(issuer);
    document["response_types_supported"] = json!(["code"]);
    document["subject_types_supported"] = json!(["public"]);
    document["id_token_signing_alg_values_supported"] = json!([algorithm]);
    document["code_challenge_methods_supported"] = json!(["S256"]);
    if state.misbehaves(flavour, Misbehaviour::AnnouncesPlainPkce) {
        document["code_challenge_methods_supported"] = json!(["plain"]);
    }
    document["grant_types_supported"] = json!(["authorization_code", "refresh_token"]);
    document["token_endpoint_auth_methods_supported"] = match flavour {
        Flavour::Google => json!(["client_secret_post", "client_secret_basic"]),
        Flavour::Microsoft => {
            json!([
                "client_secret_post",
                "private_key_jwt",
                "client_secret_basic"
            ])
        }
        Flavour::Oidc => json!([
            "client_secret_post",
            "client_secret_basic",
            "client_secret_jwt",
            "private_key_jwt"
        ]),
    };
    document["scopes_supported"] = json!(["openid", "email", "profile", "offline_access"]);
    let revocation = match flavour {
        Flavour::Google => true,
        Flavour::Microsoft => false,
        Flavour::Oidc => state.settings.revocation,
    };
    if revocation {
        document["revocation_endpoint"] = json!(format!("{base}/{}/revoke", flavour.name()));
    }
    match flavour {
        Flavour::Google => {}
        Flavour::Microsoft => {
            document["end_session_endpoint"] =
                json!(format!("{base}/microsoft/{tenant}/oauth2/v2.0/logout"));
        }
        Flavour::Oidc => {
            document["end_session_endpoint"] = json!(format!("{base}/oidc/end-session"));
        }
    }
    if state.settings.response_iss && flavour != Flavour::Microsoft {
        document["authorization_response_iss_parameter_supported"] = json!(true);
    }
    if flavour == Flavour::Oidc {
        document["pushed_authorization_request_endpoint"] = json!(format!("{base}/oidc/par"));
        if state.settings.require_pushed_authorization {
            document["require_pushed_authorization_requests"] = json!(true);
        }
        for (name, value) in &state.settings.discovery {
            document[name] = value.clone();
        }
    }
    document
}

pub(crate) async fn discovery(request: HttpRequest, app: Data<Arc<App>>) -> HttpResponse {
    let Some(realm) = Realm::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    app.serve(&request, &realm, Endpoint::Discovery, None, || {
        HttpResponse::Ok().json(document(&app, &realm))
    })
    .await
}

pub(crate) async fn jwks(request: HttpRequest, app: Data<Arc<App>>) -> HttpResponse {
    let Some(realm) = Realm::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    app.serve(&request, &realm, Endpoint::Jwks, None, || {
        let state = app.state();
        let mut keys = Vec::new();
        if state.misbehaves(realm.flavour, Misbehaviour::JunkInJwks) {
            keys.push(json!({"kty": "RSA", "kid": "junk", "n": 7}));
            keys.push(json!({"kty": "future", "kid": "later"}));
            keys.push(json!("not even an object"));
        }
        let duplicate_kid = state.misbehaves(realm.flavour, Misbehaviour::DuplicateKidInJwks);
        let without_ids = state.misbehaves(realm.flavour, Misbehaviour::KeysWithoutIds);
        let older = (duplicate_kid || without_ids)
            .then(SigningKey::ec)
            .transpose();
        let Ok(older) = older else {
            return HttpResponse::InternalServerError().finish();
        };
        for key in older.iter().chain(state.keys(realm.flavour)) {
            let mut jwk = key.jwk();
            if let Some(right) = state.keys(realm.flavour).first().filter(|_| duplicate_kid) {
                jwk["kid"] = json!(right.id);
            }
            if without_ids && let Some(jwk) = jwk.as_object_mut() {
                jwk.remove("kid");
            }
            if realm.flavour == Flavour::Microsoft {
                jwk["issuer"] = json!(app.issuer(realm.flavour, "{tenantid}"));
            }
            keys.push(jwk);
        }
        HttpResponse::Ok().json(json!({ "keys": keys }))
    })
    .await
}
