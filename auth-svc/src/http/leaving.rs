//! Away from a form to another site: to a provider, or to an application.
//!
//! Not by a redirect: browsers hold a form's redirects, also those at the
//! provider and beyond, against `form-action 'self'`.

use actix_web::cookie::Cookie;
use actix_web::http::header::REFRESH;
use actix_web::{HttpResponse, HttpResponseBuilder};
use askama::Template;
use url::Url;

use crate::http::layout::{Shell, render};

#[derive(Template)]
#[template(path = "leaving.html")]
struct LeavingPage<'a> {
    shell: Shell,
    label: &'a str,
    to: &'a str,
}

/// A page that goes on to `to` at once; `label` is what people call it.
pub(crate) fn leave(
    label: &str,
    to: &Url,
    cookies: impl IntoIterator<Item = Cookie<'static>>,
) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for cookie in cookies {
        response.cookie(cookie);
    }
    leave_with(&mut response, label, to)
}

/// The same with an answer that is begun.
pub(crate) fn leave_with(
    response: &mut HttpResponseBuilder,
    label: &str,
    to: &Url,
) -> HttpResponse {
    render(
        response.insert_header((REFRESH, format!("0; url={to}"))),
        &LeavingPage {
            shell: Shell::plain(),
            label,
            to: to.as_str(),
        },
    )
}
