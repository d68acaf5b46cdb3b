//! The endpoint of pushed authorization requests (RFC 9126). The client authenticates there as at
//! the token endpoint.

use std::sync::Arc;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::client_authentication::{client_auth_method, client_is_authenticated};
use super::error_response::{CLIENT, REQUEST};
use super::form;
use crate::Endpoint;
use crate::app::{App, Realm};
use crate::random_token;
use crate::state::PushedRequest;

/// Fields that authenticate the client and are not part of the request.
const AUTHENTICATION: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

pub(crate) async fn push_authorization(
    request: HttpRequest,
    app: Data<Arc<App>>,
    body: Bytes,
) -> HttpResponse {
    let Some(realm) = Realm::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    let endpoint = Endpoint::PushedAuthorization;
    app.serve(&request, &realm, endpoint, None, || {
        let form = form(&body);
        if !client_is_authenticated(&app, &request, &form) {
            return CLIENT.to_response(realm.flavour);
        }
        let client = Some(&app.config.client_id);
        if form.get("client_id") != client || form.contains_key("request_uri") {
            return REQUEST.to_response(realm.flavour);
        }
        let method = client_auth_method(&request, &form);
        let parameters = url::form_urlencoded::parse(&body)
            .into_owned()
            .filter(|(name, _)| !AUTHENTICATION.contains(&name.as_str()))
            .collect();
        let uri = random_token::new("urn:ietf:params:oauth:request_uri:");
        let mut state = app.state();
        state.count(realm.flavour, Endpoint::Client, Some(method));
        let lifetime = state.settings.pushed_authorization_lifetime_s;
        state.pushed_requests.insert(
            uri.clone(),
            PushedRequest {
                flavour: realm.flavour,
                parameters,
                expires_at: app.now() + i64::from(lifetime),
            },
        );
        HttpResponse::Created()
            .insert_header(("Cache-Control", "no-store"))
            .json(json!({ "request_uri": uri, "expires_in": lifetime }))
    })
    .await
}
