//! Registers a route and describes it in OpenAPI with the same call.
//!
//! A handler has the attribute `#[utoipa::path(…)]`, from which [`Routes::add`] takes the
//! path and the methods. Every GET gets HEAD too, and every other method 405. A test fails if
//! a route is registered anywhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, HttpRequest, Responder, web};
use utoipa::Path;
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{OpenApi, Paths, RefOr};

use crate::http::default_errors::method_not_allowed;
use crate::http::openapi;
use crate::http::request_limits::{DEFAULT_DEADLINE, LONG_DEADLINE, with_deadline};
use crate::http::route_pattern::without_rules;

/// The statuses that the handlers of each path answer with, by the path without rules.
pub type Statuses = BTreeMap<String, BTreeSet<String>>;

/// The routes that are registered with actix-web, or only described.
pub struct Routes<'a> {
    config: Option<&'a mut web::ServiceConfig>,
    /// The methods of each pattern.
    methods: Vec<(String, Vec<Method>)>,
    /// `None` if the routes are only registered. Every worker of the server registers them, and
    /// the allocator would keep the megabytes of a description for each.
    description: Option<Description>,
    /// `None` unless the statuses are asked for.
    statuses: Option<Statuses>,
}

/// The parts of the OpenAPI description that come from the routes.
#[derive(Default)]
struct Description {
    paths: Paths,
    /// By name: most schemas belong to many routes.
    schemas: BTreeMap<String, RefOr<Schema>>,
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
            methods: Vec::new(),
            description: None,
            statuses: None,
        }
    }

    /// Only lists the statuses of the added routes. The descriptions are dropped one after the
    /// other, so that the megabytes of the whole never exist.
    pub fn listing_statuses() -> Self {
        Self {
            config: None,
            methods: Vec::new(),
            description: None,
            statuses: Some(Statuses::new()),
        }
    }

    /// Only describes the added routes.
    pub fn describing() -> Self {
        Self {
            config: None,
            methods: Vec::new(),
            description: Some(Description {
                paths: Paths::new(),
                schemas: openapi::common_schemas().into_iter().collect(),
            }),
            statuses: None,
        }
    }

    /// Registers the answer to every other method of the added routes: 405 with `Allow`. Without
    /// it the framework answers 404.
    pub fn refuse_other_methods(self) {
        let Some(config) = self.config else { return };
        for (pattern, methods) in self.methods {
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let allow = names.join(", ");
            let refuse = move |request: HttpRequest| ready(method_not_allowed(&request, &allow));
            config.service(web::resource(pattern).to(refuse));
        }
    }

    /// Returns the description of the added routes (OpenAPI 3.1).
    pub fn into_openapi(self) -> OpenApi {
        let Description { paths, schemas } = self.description.unwrap_or_default();
        openapi::document(paths, schemas.into_iter().collect())
    }

    /// Returns the statuses of the added routes.
    pub fn into_statuses(self) -> Statuses {
        self.statuses.unwrap_or_default()
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
        let head = heads.then_some(&HttpMethod::Head);
        let served: Vec<Method> = methods.iter().chain(head).map(method_of).collect();
        if let Some(config) = &mut self.config {
            for method in &served {
                let route = web::method(method.clone()).to(handler.clone());
                config.route(
                    pattern,
                    route.wrap(from_fn(move |request, next| {
                        with_deadline(longest, request, next)
                    })),
                );
            }
        }
        match self.methods.iter_mut().find(|(known, _)| known == pattern) {
            Some((_, known)) => known.extend(served),
            None => self.methods.push((pattern.to_owned(), served)),
        }
        if let Some(statuses) = &mut self.statuses {
            let responses = P::operation().responses.responses;
            let known = statuses.entry(without_rules(pattern)).or_default();
            known.extend(responses.into_keys());
        }
        let Some(description) = &mut self.description else {
            return;
        };
        let mut operation: Operation = P::operation();
        openapi::complete(&mut operation, pattern);
        let path = without_rules(pattern);
        if heads {
            let head = openapi::head_of(&operation);
            description
                .paths
                .add_path_operation(&path, vec![HttpMethod::Head], head);
        }
        description
            .paths
            .add_path_operation(path, methods, operation);
        let mut schemas = Vec::new();
        P::schemas(&mut schemas);
        description.schemas.extend(schemas);
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
