//! URLs with a query, and redirects.

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, HttpResponseBuilder};
use url::{Url, form_urlencoded};

/// Answers 302 to `url`.
pub fn found(url: &Url) -> HttpResponseBuilder {
    let mut response = HttpResponse::Found();
    response.insert_header((LOCATION, url.as_str()));
    response
}

/// Returns a path with a query.
pub fn link<K: AsRef<str>, V: AsRef<str>>(path: &str, query: &[(K, V)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let mut link = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
    link.extend_pairs(query);
    link.finish()
}
