//! The page that leaves this site after a form: to a provider or to an application.
//!
//! It is not a redirect, because browsers apply `form-action 'self'` to every redirect that
//! follows a form, also to those at the provider.

use actix_web::cookie::Cookie;
use actix_web::http::header::REFRESH;
use actix_web::{HttpResponse, HttpResponseBuilder};
use askama::Template;
use url::Url;

use crate::http::layout::{Layout, render};

#[derive(Template)]
#[template(path = "form_redirect.html")]
struct FormRedirectPage<'a> {
    shell: Layout,
    label: &'a str,
    to: &'a str,
}

/// Returns a page that opens `to` at once. `label` is the name that the page shows.
pub(crate) fn redirect_after_form(
    label: &str,
    to: &Url,
    cookies: impl IntoIterator<Item = Cookie<'static>>,
) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for cookie in cookies {
        response.cookie(cookie);
    }
    redirect_after_form_with(&mut response, label, to)
}

/// Returns the same page as the body of a response that already has headers.
pub(crate) fn redirect_after_form_with(
    response: &mut HttpResponseBuilder,
    label: &str,
    to: &Url,
) -> HttpResponse {
    render(
        response.insert_header((REFRESH, format!("0; url={to}"))),
        &FormRedirectPage {
            shell: Layout::plain(),
            label,
            to: to.as_str(),
        },
    )
}
