//! Registers a route and describes it in OpenAPI with the same call.
//!
//! A handler has the attribute `#[utoipa::path(…)]`, from which [`Routes::add`] takes the
//! path and the methods. Every GET gets HEAD too. A test fails if a route is registered
//! anywhere else.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, Responder, web};
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths, RefOr};
use utoipa::{Path, ToSchema as _};

use crate::http::problem::Problem;
use crate::http::request_limits::{DEFAULT_DEADLINE, LONG_DEADLINE, with_deadline};
use crate::http::route_pattern::without_rules;

/// The routes that are registered with actix-web, or only described.
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
    /// Registers the added routes with actix-web.
    pub fn registering(config: &'a mut web::ServiceConfig) -> Self {
        Self {
            config: Some(config),
            paths: Paths::new(),
            schemas: Vec::new(),
        }
    }

    /// Only describes the added routes.
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

    /// Returns the description of the added routes (OpenAPI 3.1).
    pub fn into_openapi(self) -> OpenApi {
        let info = InfoBuilder::new()
            .title("Latchkey auth-svc")
            .description(Some(
                "Sign-in, sessions and the connection of accounts. Errors are pages for browsers, \
                 and `Problem` for clients that send `Accept: application/json`. Every route \
                 answers 429 with `Retry-After` to an address that makes too many requests.",
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

    /// Adds a handler at the path of its description.
    pub fn add<P, F, Args>(&mut self, described: P, handler: F)
    where
        P: Path + utoipa::__dev::SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let pattern = P::path();
        self.add_for(DEFAULT_DEADLINE, described, &pattern, handler);
    }

    /// Adds a handler that waits for another server besides the database.
    pub fn add_slow<P, F, Args>(&mut self, described: P, handler: F)
    where
        P: Path + utoipa::__dev::SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let pattern = P::path();
        self.add_for(LONG_DEADLINE, described, &pattern, handler);
    }

    /// Adds a slow handler whose path has a pattern, `{name:a|b}`. The description has
    /// `{name}`.
    pub fn add_slow_at<P, F, Args>(&mut self, described: P, pattern: &str, handler: F)
    where
        P: Path + utoipa::__dev::SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.add_for(LONG_DEADLINE, described, pattern, handler);
    }

    /// Adds a handler whose path has a pattern.
    pub fn add_at<P, F, Args>(&mut self, described: P, pattern: &str, handler: F)
    where
        P: Path + utoipa::__dev::SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.add_for(DEFAULT_DEADLINE, described, pattern, handler);
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
        // A server that supports GET must support HEAD (RFC 9110 section 9.1).
        let heads = methods.contains(&HttpMethod::Get) && !methods.contains(&HttpMethod::Head);
        if let Some(config) = &mut self.config {
            let head = heads.then_some(&HttpMethod::Head);
            for method in methods.iter().chain(head) {
                let route = web::method(method_of(method)).to(handler.clone());
                config.route(
                    pattern,
                    route.wrap(from_fn(move |request, next| {
                        with_deadline(longest, request, next)
                    })),
                );
            }
        }
        let operation: Operation = P::operation();
        let path = without_rules(pattern);
        if heads {
            let mut head = operation.clone();
            // Operation ids must be unique.
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
