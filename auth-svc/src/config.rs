//! Configuration from environment variables (R40).

use std::net::SocketAddr;
use std::time::Duration;

use latchkey_config::{ConfigError, ConfigErrors, Environment, WebOrigin, read_all};
use latchkey_sealing::SealingKey;
use latchkey_service::shutdown;
use url::Url;

use crate::flow_keys::FlowKeys;
use crate::login::domain_list::DomainList;
use crate::login::redirect::ReturnPolicy;
use crate::session::config::SessionConfig;

/// The switch of several workspaces.
pub const MULTI_WORKSPACE: &str = "IS_MULTIWORKSPACE_ENABLED";

/// Configuration of auth-svc without its providers, its database and its broker, which read
/// their own variables.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// Address of health checks and `/metrics`, for the operator.
    pub health_listen: SocketAddr,
    /// How long the service goes on serving after it is asked to stop: `SHUTDOWN_DELAY`.
    pub shutdown_delay: Duration,
    /// Origin of this service as browsers see it.
    pub public_origin: WebOrigin,
    /// Rules for return locations after a sign-in.
    pub returns: ReturnPolicy,
    /// Keys of the flow cookies. The first key seals; every key opens.
    pub flow_keys: FlowKeys,
    /// Public key of refresh-svc, which seals grants.
    pub sealing_key: SealingKey,
    /// Domains that may sign in to the deployment. An empty list restricts nothing.
    pub allowed_domains: DomainList,
    /// Whether every workspace has a host of its own.
    pub multi_workspace: bool,
    /// Lifetimes of sessions and tokens, and the signing keys.
    pub sessions: SessionConfig,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// Returns the variables that are wrong or missing.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigErrors> {
        read_all! {
            let public_origin = WebOrigin::public(environment);
            let multi_workspace = environment.flag(MULTI_WORKSPACE, false);
            let app = app_url(environment);
            let allowed_origins = allowed_origins(environment);
            let allowed_domains = domains(environment);
            let sessions = SessionConfig::from_environment(environment);
            let listen = environment.listen("HTTP_LISTEN", ([0, 0, 0, 0], 8080).into());
            let health_listen = environment.listen("HEALTH_LISTEN", ([0, 0, 0, 0], 8083).into());
            let shutdown_delay = shutdown::delay(environment);
            let flow_keys = environment.required_parsed(
                "FLOW_COOKIE_KEYS",
                "<key id>:<32 bytes in base64url>, the newest first",
            );
            let sealing_key = sealing_key(environment);
            // Existing deployments set this variable. It has no effect here.
            let _ = environment.flag("IS_BILLING_ENABLED", false);
        }
        if multi_workspace && app.domain().is_none() {
            return Err(ConfigError::new(
                "APP_URL",
                "must have a domain where IS_MULTIWORKSPACE_ENABLED is true, such as \
                 https://example.com: each workspace gets a host under it",
            )
            .into());
        }
        let returns = ReturnPolicy::new(app, &public_origin, allowed_origins, multi_workspace);
        Ok(Self {
            listen,
            health_listen,
            shutdown_delay,
            public_origin,
            returns,
            flow_keys,
            sealing_key,
            allowed_domains,
            multi_workspace,
            sessions,
        })
    }
}

fn sealing_key(environment: &Environment) -> Result<SealingKey, ConfigError> {
    const NAME: &str = "SEALING_PUBLIC_KEY";
    let key: SealingKey =
        environment.required_parsed(NAME, "refresh-svc's public key, <key id>:<base64url>")?;
    if let Some(underived) = key.underived_id() {
        environment.warn(NAME, underived.to_string());
    }
    Ok(key)
}

fn app_url(environment: &Environment) -> Result<Url, ConfigError> {
    const NAME: &str = "APP_URL";
    let Some(text) = environment.optional(NAME)? else {
        return Ok(WebOrigin::public(environment)?.url().clone());
    };
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let Some(url) = Url::parse(&text).ok().filter(is_plain) else {
        return Err(ConfigError::new(
            NAME,
            "must be an http or https URL without user, query or fragment, such as \
             https://app.example.com",
        ));
    };
    if WebOrigin::of(&url).is_some_and(|origin| !origin.keeps_cookies()) {
        return Err(ConfigError::new(
            NAME,
            "must begin with https:// (http:// on localhost only): what is handed over to a page \
             without TLS can be read on its way",
        ));
    }
    Ok(url)
}

fn allowed_origins(environment: &Environment) -> Result<Vec<WebOrigin>, ConfigError> {
    const NAME: &str = "ALLOWED_RETURN_ORIGINS";
    environment
        .list(NAME)?
        .iter()
        .map(|text| match text.parse::<WebOrigin>() {
            _ if text.contains('*') => Err(ConfigError::new(
                NAME,
                "must name each origin: pages of an origin in this list act as the person who is \
                 signed in, so there is no `*`",
            )),
            Ok(origin) if !origin.keeps_cookies() => Err(ConfigError::new(
                NAME,
                "must have origins with https:// only (http:// on localhost only): what is handed \
                 over to a page without TLS can be read on its way",
            )),
            Ok(origin) => Ok(origin),
            Err(error) => Err(ConfigError::new(NAME, format!("each {error}"))),
        })
        .collect()
}

fn domains(environment: &Environment) -> Result<DomainList, ConfigError> {
    const NAME: &str = "AUTH_ALLOWED_DOMAINS";
    DomainList::parse(&environment.list(NAME)?)
        .map_err(|error| ConfigError::new(NAME, format!("each {error}")))
}
