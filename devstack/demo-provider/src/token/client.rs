//! Who calls the token endpoint.

use std::collections::HashMap;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::app::App;

/// Fields of a form.
pub(super) type Form = HashMap<String, String>;

/// How the client proves itself (OpenID Connect Core section 9).
pub(super) fn client_method(request: &HttpRequest) -> &'static str {
    if request.headers().contains_key(AUTHORIZATION) {
        "client_secret_basic"
    } else {
        "client_secret_post"
    }
}

pub(super) fn client_is_known(app: &App, request: &HttpRequest, form: &Form) -> bool {
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
