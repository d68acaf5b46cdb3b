//! The discovery document (OpenID Connect Discovery 1.0 section 3). An optional list may
//! be `null` or a text, and an optional boolean may be a text.

use http::StatusCode;
use serde_json::{Map, Value};
use url::Url;

use crate::client_auth::{self, ClientAuthentication};
use crate::definition::Definition;
use crate::transport::{Http, is_secure};
use crate::{Mismatch, ProviderError, fields, for_log, id_token};

/// The part of a discovery document that is used, checked.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub authorization: Url,
    pub token: Url,
    pub jwks: Url,
    pub revocation: Option<Url>,
    pub userinfo: Option<Url>,
    /// `end_session_endpoint` (RP-Initiated Logout 1.0 section 2.1).
    pub end_session: Option<Url>,
    /// `pushed_authorization_request_endpoint` (RFC 9126).
    pub pushed_authorization: Option<Url>,
    /// `require_pushed_authorization_requests`.
    pub requires_pushed_authorization: bool,
    pub algorithms: Vec<String>,
    /// Empty if none is announced.
    pub userinfo_algorithms: Vec<String>,
    /// `scopes_supported`; empty if none is announced.
    pub scopes: Vec<String>,
    /// `prompt_values_supported` (Initiating User Registration 1.0).
    prompts: Option<Vec<String>>,
    pub client_authentication: ClientAuthentication,
    /// Algorithms of the client's assertions; empty if none is announced.
    pub assertion_algorithms: Vec<String>,
    /// The callback has the parameter `iss` (RFC 9207).
    pub response_iss: bool,
}

struct Document(Map<String, Value>);

impl Document {
    fn read(body: &[u8]) -> Result<Self, ProviderError> {
        match fields::json(body) {
            Some(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err(invalid("it is not a JSON object")),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The URL of an endpoint that is required.
    fn endpoint(&self, name: &str) -> Result<Url, ProviderError> {
        let text = self
            .text(name)
            .ok_or_else(|| invalid(format!("it has no {name}")))?;
        let url = Url::parse(text).map_err(|_| invalid(format!("its {name} is not a URL")))?;
        if is_secure(&url) {
            Ok(url)
        } else {
            Err(invalid(format!("its {name} is not https://")))
        }
    }

    /// The URL of an optional endpoint. `None` if it is absent or not usable.
    fn optional_endpoint(&self, name: &str) -> Option<Url> {
        Url::parse(self.text(name)?).ok().filter(is_secure)
    }

    /// A list, or a text with spaces or commas. `None` if it is absent or `null`.
    fn list(&self, name: &str) -> Option<Vec<String>> {
        match self.0.get(name)? {
            Value::Array(all) => Some(
                all.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            ),
            Value::String(text) => Some(
                text.split([',', ' '])
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            _ => None,
        }
    }

    /// A boolean, `false` if it is absent.
    fn flag(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(on)) => *on,
            Some(Value::String(text)) => text.trim().eq_ignore_ascii_case("true"),
            _ => false,
        }
    }
}

fn invalid(problem: impl Into<String>) -> ProviderError {
    ProviderError::DiscoveryInvalid(problem.into())
}

/// Compares the issuer byte by byte. A slash at the end is the usual difference.
fn check_issuer(expected: &str, named: Option<&str>) -> Result<(), ProviderError> {
    if named == Some(expected) {
        return Ok(());
    }
    let without_slash = |issuer: &str| issuer.trim_end_matches('/').to_owned();
    let hint = if named.map(without_slash) == Some(without_slash(expected)) {
        "; they differ by the slash at the end, so configure it as the document has it"
    } else {
        ""
    };
    let both = Mismatch::new(expected, named);
    Err(invalid(format!(
        "it names another issuer than the one configured: {both}{hint}"
    )))
}

/// Refuses a provider that requires something that is not supported.
fn refuse_unsupported_requirements(document: &Document) -> Result<(), ProviderError> {
    let unsupported = |problem: &str| Err(ProviderError::Unsupported(problem.to_owned()));
    if document.flag("require_signed_request_object") {
        return unsupported(
            "it requires signed authorization requests (JAR, RFC 9101), which are not supported: \
             switch the requirement off at the provider",
        );
    }
    Ok(())
}

/// Methods of client authentication by a certificate (RFC 8705 section 2).
const MUTUAL_TLS: [&str; 2] = ["tls_client_auth", "self_signed_tls_client_auth"];

/// Refuses a provider that authenticates clients by certificates only, unless another method
/// is configured. Other metadata of RFC 8705 and RFC 9449 says what the provider supports, not
/// what it requires.
fn refuse_mutual_tls(document: &Document, definition: &Definition) -> Result<(), ProviderError> {
    let methods = document
        .list("token_endpoint_auth_methods_supported")
        .unwrap_or_default();
    let by_certificate = |method: &String| MUTUAL_TLS.contains(&method.as_str());
    if definition.client_authentication.is_some()
        || methods.is_empty()
        || !methods.iter().all(by_certificate)
    {
        return Ok(());
    }
    Err(ProviderError::Unsupported(format!(
        "it requires mutual TLS (RFC 8705: {}), which is not supported, because other services \
         use the tokens too and do not have the client's certificate: allow another method at \
         the provider",
        names(&methods)
    )))
}

fn names(list: &[String]) -> String {
    for_log(&list.join(", "))
}

impl Metadata {
    /// Fetches the document of a definition.
    pub(crate) async fn fetch(http: &Http, definition: &Definition) -> Result<Self, ProviderError> {
        let unavailable = ProviderError::DiscoveryUnavailable;
        let answer = http
            .document(&definition.discovery)
            .await
            .map_err(|failure| failure.into_provider_error(unavailable))?;
        match answer.status {
            status if status.is_success() => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(ProviderError::NoDiscovery(answer.status.as_u16()));
            }
            status => return Err(unavailable(format!("status {}", status.as_u16()))),
        }
        Self::parse(&answer.body, definition)
    }

    fn parse(body: &[u8], definition: &Definition) -> Result<Self, ProviderError> {
        let document = Document::read(body)?;
        check_issuer(definition.issuer.shown(), document.text("issuer"))?;
        if let Some(methods) = document.list("code_challenge_methods_supported")
            && !methods.iter().any(|method| method == "S256")
        {
            return Err(invalid("the provider does not know PKCE with S256"));
        }
        let algorithms = document
            .list("id_token_signing_alg_values_supported")
            .unwrap_or_default();
        refuse_mutual_tls(&document, definition)?;
        let metadata = Self {
            authorization: document.endpoint("authorization_endpoint")?,
            token: document.endpoint("token_endpoint")?,
            jwks: document.endpoint("jwks_uri")?,
            revocation: document.optional_endpoint("revocation_endpoint"),
            userinfo: document.optional_endpoint("userinfo_endpoint"),
            end_session: document.optional_endpoint("end_session_endpoint"),
            pushed_authorization: document
                .optional_endpoint("pushed_authorization_request_endpoint"),
            requires_pushed_authorization: document.flag("require_pushed_authorization_requests"),
            client_authentication: client_authentication(&document, definition)?,
            assertion_algorithms: assertion_algorithms(&document),
            userinfo_algorithms: document
                .list("userinfo_signing_alg_values_supported")
                .unwrap_or_default(),
            scopes: document.list("scopes_supported").unwrap_or_default(),
            prompts: document.list("prompt_values_supported"),
            response_iss: document.flag("authorization_response_iss_parameter_supported"),
            algorithms,
        };
        refuse_unsupported_requirements(&document)?;
        if id_token::algorithms(definition.quirks, &metadata.algorithms).is_empty() {
            return Err(ProviderError::Unsupported(format!(
                "it signs ID tokens with {} alone, and none of them is supported",
                names(&metadata.algorithms)
            )));
        }
        Ok(metadata)
    }

    /// Returns `true` if this value of `prompt` is announced. Some providers that announce
    /// no value refuse those that they do not know.
    pub(crate) fn supports_prompt(&self, value: &str) -> bool {
        let known = |all: &Vec<String>| all.iter().any(|known| known == value);
        self.prompts.as_ref().is_some_and(known)
    }
}

fn assertion_algorithms(document: &Document) -> Vec<String> {
    document
        .list("token_endpoint_auth_signing_alg_values_supported")
        .unwrap_or_default()
}

/// The method of client authentication: the configured one, else an announced one. A
/// method that is not announced is refused before anything is sent.
fn client_authentication(
    document: &Document,
    definition: &Definition,
) -> Result<ClientAuthentication, ProviderError> {
    let methods = document
        .list("token_endpoint_auth_methods_supported")
        .unwrap_or_default();
    let Some(configured) = &definition.client_authentication else {
        let has_secret = definition.client_secret.is_some();
        return ClientAuthentication::announced(&methods, has_secret).ok_or_else(|| {
            ProviderError::Unsupported(format!(
                "it announces only {} for the token endpoint, and the client has a secret, which \
                 is sent by client_secret_basic or client_secret_post: configure \
                 TOKEN_AUTH_METHOD (private_key_jwt is supported), or allow one of these at the \
                 provider",
                names(&methods)
            ))
        });
    };
    let documented = definition
        .built_in
        .then_some(ClientAuthentication::DOCUMENTED);
    if !configured.is_allowed(&methods, documented) {
        let announced = if methods.is_empty() {
            "no method for the token endpoint, which means client_secret_basic".to_owned()
        } else {
            format!("only {} for the token endpoint", names(&methods))
        };
        return Err(ProviderError::Unsupported(format!(
            "it announces {announced}, and the client authenticates with {}, so that no secret \
             and no assertion is sent to it: configure a method that it announces \
             (TOKEN_AUTH_METHOD), or allow this one at the provider",
            configured.method()
        )));
    }
    let algorithms = assertion_algorithms(document);
    if let Some(algorithm) = configured.algorithm()
        && !client_auth::takes(&algorithms, algorithm)
    {
        return Err(ProviderError::Unsupported(format!(
            "it announces only {} for the assertions of clients, and those of this client are \
             signed with {}: set TOKEN_AUTH_SIGNING_ALG, or use a key of another kind",
            names(&algorithms),
            client_auth::name_of(algorithm)
        )));
    }
    Ok(configured.clone())
}

#[cfg(test)]
mod tests;
