//! A sign-in, one file per step.

pub mod authorize;
pub mod callback;
pub mod deliberate;
pub mod described;
pub mod domain_policy;
pub mod explain;
pub mod flow;
pub mod flow_cookie;
pub mod initiate;
pub mod parameters;
pub mod provider_answer;
pub mod query;
pub mod redirect;
pub mod routes;
pub mod start_parameter;

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use url::Url;

/// 302 to `url`.
pub(crate) fn found(url: &Url) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Found();
    response.insert_header((LOCATION, url.as_str()));
    response
}
