//! Registers a route and describes it in OpenAPI with the same call.
//!
//! A handler carries `#[utoipa::path(…)]`; [`Routes::add`] takes its path and
//! methods from there; HEAD comes with every GET. A test refuses routes that go around this file.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, Responder, web};
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths, RefOr};
use utoipa::{Path, ToSchema as _};

use crate::http::problem::Problem;
use crate::http::request_limits::{LONGEST, USUAL, within};

/// Where routes are registered, described, or both.
pub struct Routes<'a> {
    config: Option<&'a mut web::ServiceConfig>,
    paths: Paths,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl std::fmt::Debug for Routes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}

impl<'a> Routes<'a> {
    /// Registers what is added with actix-web.
    pub fn registering(config: &'a mut web::ServiceConfig) -> Self {
        Self {
            config: Some(config),
            paths: Paths::new(),
            schemas: Vec::new(),
        }
    }

    /// Only describes what is added.
    pub fn describing() -> Self {
        Self {
            config: None,
            paths: Paths::new(),
            schemas: vec![(
                Problem::name().into_owned(),
                <Problem as utoipa::PartialSchema>::schema(),
            )],
        }
    }

    /// The description of what was added (OpenAPI 3.1).
    pub fn into_openapi(self) -> OpenApi {
        let info = InfoBuilder::new()
            .title("Latchkey auth-svc")
            .description(Some(
                "Sign-in, sessions and the connection of accounts. Refusals are pages for browsers \
                 and `Problem` for who sends `Accept: application/json`. Every route answers 429 \
                 with `Retry-After` to an address that asks too often.",
            ))
            .version(env!("CARGO_PKG_VERSION"))
            .build();
        OpenApiBuilder::new()
            .info(info)
            .paths(self.paths)
            .components(Some(
                ComponentsBuilder::new()
                    .schemas_from_iter(self.schemas)
                    .build(),
            ))
            .build()
    }

    /// Adds a handler where its description says.
    pub fn add<P, F, Args>(&mut self, described: P, handler: F)
    where
        P: Path + utoipa::__dev::SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let pattern = P::path();
        self.add_for(USUAL, described, &pattern, handler);
    }

    /// The same for a handler that waits for another server than the database.
    pub fn add_slow<P, F, Args>(&mut self, described: P, handler: F)
    where
        P: Path + utoipa::__dev::SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let pattern = P::path();
        self.add_for(LONGEST, described, &pattern, handler);
    }

    /// The same with a pattern in the path, `{name:a|b}`, which is described as
    /// `{name}`.
    pub fn add_slow_at<P, F, Args>(&mut self, described: P, pattern: &str, handler: F)
    where
        P: Path + utoipa::__dev::SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.add_for(LONGEST, described, pattern, handler);
    }

    /// [`add`](Self::add) with a pattern in the path.
    pub fn add_at<P, F, Args>(&mut self, described: P, pattern: &str, handler: F)
    where
        P: Path + utoipa::__dev::SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.add_for(USUAL, described, pattern, handler);
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a handler is a function: reads better without a reference"
    )]
    fn add_for<P, F, Args>(&mut self, longest: Duration, _described: P, pattern: &str, handler: F)
    where
        P: Path + utoipa::__dev::SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let methods = P::methods();
        // RFC 9110 section 9.1: GET and HEAD go together.
        let heads = methods.contains(&HttpMethod::Get) && !methods.contains(&HttpMethod::Head);
        if let Some(config) = &mut self.config {
            let head = heads.then_some(&HttpMethod::Head);
            for method in methods.iter().chain(head) {
                let route = web::method(method_of(method)).to(handler.clone());
                config.route(
                    pattern,
                    route.wrap(from_fn(move |request, next| within(longest, request, next))),
                );
            }
        }
        let operation: Operation = P::operation();
        let path = described_path(pattern);
        if heads {
            let mut head = operation.clone();
            // Ids are unique.
            head.operation_id = head.operation_id.map(|id| format!("{id}_head"));
            let method = vec![HttpMethod::Head];
            self.paths.add_path_operation(&path, method, head);
        }
        self.paths.add_path_operation(path, methods, operation);
        P::schemas(&mut self.schemas);
    }
}

fn method_of(method: &HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Delete => Method::DELETE,
        HttpMethod::Options => Method::OPTIONS,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Trace => Method::TRACE,
    }
}

/// `/auth/{provider:google|microsoft}-apis` → `/auth/{provider}-apis`.
fn described_path(pattern: &str) -> String {
    let mut path = String::with_capacity(pattern.len());
    let mut in_rule = false;
    for c in pattern.chars() {
        match c {
            ':' => in_rule = true,
            '}' => in_rule = false,
            _ => {}
        }
        if !in_rule {
            path.push(c);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_described_by_its_name() {
        for (pattern, path) in [
            (
                "/auth/{provider:google|microsoft}-apis",
                "/auth/{provider}-apis",
            ),
            ("/auth/oidc/{provider}", "/auth/oidc/{provider}"),
            ("/", "/"),
        ] {
            assert_eq!(described_path(pattern), path);
        }
    }
}
