//! The end session endpoint (OpenID Connect RP-Initiated Logout 1.0) of Microsoft and of the strict
//! provider. Google has none. Like the rest of the demo provider it has no session of the browser: it
//! records whose session ends.

use std::sync::Arc;

use actix_web::http::header::LOCATION;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use url::{Url, form_urlencoded};

use crate::Endpoint;
use crate::app::{App, Realm};
use crate::state::EndedSession;

/// Section 2 allows GET and POST.
pub(crate) async fn end_session(
    request: HttpRequest,
    app: Data<Arc<App>>,
    body: Bytes,
) -> HttpResponse {
    let Some(realm) = Realm::of(&request) else {
        return HttpResponse::NotFound().finish();
    };
    app.serve(&request, &realm, Endpoint::EndSession, None, || {
        let query = request.query_string().as_bytes();
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query)
            .chain(form_urlencoded::parse(&body))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        match end(&app, &realm, &pairs) {
            Ok(back) => HttpResponse::SeeOther()
                .insert_header((LOCATION, back.as_str()))
                .insert_header(("Cache-Control", "no-store"))
                .finish(),
            Err(problem) => HttpResponse::BadRequest().body(problem),
        }
    })
    .await
}

/// Ends the session and returns where the browser goes.
fn end(app: &App, realm: &Realm, pairs: &[(String, String)]) -> Result<Url, &'static str> {
    let one = |name: &str| {
        let found = pairs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    if one("client_id") != Some(&app.config.client_id) {
        return Err("invalid_client: this client_id is not registered here.");
    }
    let known = &app.config.redirect_uris;
    let mut back = one("post_logout_redirect_uri")
        .filter(|uri| known.is_empty() || known.iter().any(|registered| registered == uri))
        .and_then(|uri| Url::parse(uri).ok())
        .ok_or("invalid_request: this post_logout_redirect_uri is not registered.")?;
    let mut state = app.state();
    let person = match one("id_token_hint") {
        None => None,
        // A hint may have expired (section 4), but it must have been issued here.
        Some(hint) => Some(
            state
                .issued
                .iter()
                .find(|one| {
                    one.kind == "id_token" && one.flavour == realm.flavour && one.token == hint
                })
                .map(|one| one.person.clone())
                .ok_or("invalid_request: the id_token_hint was not issued here.")?,
        ),
    };
    state.ended_sessions.push(EndedSession {
        flavour: realm.flavour,
        person,
    });
    if let Some(value) = one("state") {
        back.query_pairs_mut().append_pair("state", value);
    }
    Ok(back)
}
