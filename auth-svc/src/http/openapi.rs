//! The OpenAPI description: what every operation has in common, and the security schemes.

use utoipa::ToSchema as _;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, Object, OpenApi, OpenApiBuilder, Paths, Ref, RefOr,
};

use crate::http::problem::{Problem, is_json_api};
use crate::http::route_pattern::without_rules;
use crate::session::cookie;

const JSON: &str = "application/json";
const HTML: &str = "text/html";
const TEXT: &str = "text/plain";

/// Responses that every operation may give, from outside of its handler.
const FOR_EVERY_OPERATION: [(&str, &str); 2] = [
    (
        "4XX",
        "The request is not accepted, whatever its handler would say: it is malformed, too large, \
         too slow, or one of too many (429 with `Retry-After`)",
    ),
    ("5XX", "A failure of this service or of one that it needs"),
];

/// Name and schema of each schema of the description.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// The schemas that every operation refers to.
pub fn common_schemas() -> Schemas {
    let mut schemas = vec![(
        Problem::name().into_owned(),
        <Problem as utoipa::PartialSchema>::schema(),
    )];
    Problem::schemas(&mut schemas);
    schemas
}

/// Builds the description (OpenAPI 3.1).
pub fn document(paths: Paths, schemas: Schemas) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Latchkey auth-svc")
        .description(Some(
            "Sign-in, sessions and the connection of accounts. Errors of the JSON API are \
             `Problem`. Errors of the other addresses are pages for browsers, and `Problem` for \
             clients that send `Accept: application/json`. Every route answers 429 with \
             `Retry-After` to an address that makes too many requests, and 405 with `Allow` to a \
             method that it does not have.",
        ))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    let session = ApiKeyValue::with_description(
        cookie::NAME,
        "The session of a browser, from a sign-in. A request that changes something is refused \
         if its `Origin` is no origin of this deployment.",
    );
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("An access token of `POST /auth/token`."))
        .build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)))
        .security_scheme("bearer", SecurityScheme::Http(bearer));
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

/// Adds to the description of a route at `pattern` what its handler does not say: the responses of
/// the layers in front of it, the forms of an error and of a redirect, and the words that the
/// pattern accepts.
pub fn complete(operation: &mut Operation, pattern: &str) {
    let with_pages = !is_json_api(&without_rules(pattern));
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else {
            continue;
        };
        match status.as_bytes().first() {
            Some(b'3') if status != "304" => add_redirect(response),
            Some(b'4' | b'5') if with_pages && response.content.contains_key(JSON) => {
                response.content.insert(HTML.to_owned(), text().into());
            }
            _ => {}
        }
    }
    for (range, description) in FOR_EVERY_OPERATION {
        let response = responses.entry(range.to_owned());
        response.or_insert_with(|| error(description, with_pages).into());
    }
    if let Some((name, words)) = alternatives(pattern) {
        restrict(operation, name, &words);
    }
}

/// The description of HEAD: that of GET without a body.
pub fn head_of(get: &Operation) -> Operation {
    let mut head = get.clone();
    // Operation ids must be unique.
    head.operation_id = head.operation_id.map(|id| format!("{id}_head"));
    for response in head.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.clear();
        }
    }
    head
}

/// Name and words of a parameter with alternatives: `{provider:google|microsoft}`.
fn alternatives(pattern: &str) -> Option<(&str, Vec<&str>)> {
    let (_, rest) = pattern.split_once('{')?;
    let (rule, _) = rest.split_once('}')?;
    let (name, words) = rule.split_once(':')?;
    Some((name, words.split('|').collect()))
}

fn restrict(operation: &mut Operation, name: &str, words: &[&str]) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.name == name
        {
            let schema = ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(words.iter().copied()));
            parameter.schema = Some(schema.into());
        }
    }
}

fn text() -> Content {
    Content::new(Some(Object::with_type(Type::String)))
}

/// A redirect names its address in a header, and in a body for people who read it with `curl`.
fn add_redirect(response: &mut Response) {
    let location = Header::new(Object::with_type(Type::String));
    response
        .headers
        .insert("Location".to_owned(), location.into());
    response.content.insert(TEXT.to_owned(), text().into());
}

fn error(description: &str, with_pages: bool) -> Response {
    let problem = Content::new(Some(Ref::from_schema_name(Problem::name())));
    let mut response = ResponseBuilder::new()
        .description(description)
        .content(JSON, problem);
    if with_pages {
        response = response.content(HTML, text());
    }
    response.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_pattern_are_found() {
        assert_eq!(
            alternatives("/auth/{provider:google|microsoft}-apis"),
            Some(("provider", vec!["google", "microsoft"]))
        );
        assert_eq!(alternatives("/auth/oidc/{provider}"), None);
    }
}
