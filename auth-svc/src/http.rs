//! What all requests and responses have in common: routing, limits, origins, cookies, error
//! responses and the layout of pages.

pub mod assets;
pub mod client_address;
pub mod cookies;
pub mod cors;
pub mod default_errors;
pub mod extractor_errors;
pub mod form_redirect;
pub mod headers;
pub mod health;
pub mod icon;
pub mod keep_alive;
pub mod layout;
pub mod links;
pub mod metrics;
pub mod openapi;
pub mod problem;
pub mod query;
pub mod rate_limit;
pub mod redirect_body;
pub mod request_limits;
pub mod root_span;
pub mod route_pattern;
pub mod router;
pub mod same_site;
pub mod static_files;
pub mod too_many_requests;
pub mod wording;
