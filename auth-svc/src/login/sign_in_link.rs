//! Redirects to the sign-in page that return to a page of this service.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;

use crate::http::layout::AccountPage;
use crate::http::links::link;
use crate::login::start_parameter::RETURN_TO;
use crate::state::State;

/// Redirects to the sign-in page, which returns to `path`.
pub fn sign_in_first(state: &State, path: &str) -> HttpResponse {
    let back = format!("{}{path}", state.config.public_origin);
    if state.config.returns.accept(&back).is_err() {
        return to_sign_in(state, AccountPage::Connections);
    }
    HttpResponse::SeeOther()
        .insert_header((LOCATION, link("/auth/sign-in", &[(RETURN_TO.name, back)])))
        .finish()
}

/// Redirects to the sign-in page, which returns to an account page.
pub fn to_sign_in(state: &State, place: AccountPage) -> HttpResponse {
    let back = address(state, place);
    HttpResponse::SeeOther()
        .insert_header((LOCATION, link("/auth/sign-in", &[(RETURN_TO.name, back)])))
        .finish()
}

/// Returns the absolute URL of an account page. A path alone would be resolved against the
/// application.
pub fn address(state: &State, place: AccountPage) -> String {
    format!("{}{}", state.config.public_origin, place.path())
}
