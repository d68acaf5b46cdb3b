//! Environment → typed configuration (R40). A value that exists is valid.

mod domain_list;
mod origin;

use std::net::SocketAddr;
use std::time::Duration;

use latchkey_config::{ConfigError, Environment};
use latchkey_sealing::SealingKey;
use latchkey_service::shutdown;
use url::Url;

use crate::login::flow_cookie::FlowKeys;
use crate::login::redirect::ReturnPolicy;
use crate::session::config::SessionConfig;

pub use domain_list::{DomainList, InvalidDomain, parse_domain};
pub use origin::{InvalidOrigin, WebOrigin};

/// Everything that auth-svc is told, apart from its providers, its database and
/// its broker, which read their own variables.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where health and `/metrics` are served, for the operator's eyes.
    pub health_listen: SocketAddr,
    /// How long it goes on serving once it is asked to end: `SHUTDOWN_DELAY`.
    pub shutdown_delay: Duration,
    /// Origin under which browsers see this service.
    pub public_origin: WebOrigin,
    /// Where a browser may be sent after a sign-in.
    pub returns: ReturnPolicy,
    /// Keys of the flow cookies; the first seals, all open.
    pub flow_keys: FlowKeys,
    /// refresh-svc's public key: grants are sealed to it.
    pub sealing_key: SealingKey,
    /// Deployment-wide list of domains; empty: no restriction at this level.
    pub allowed_domains: DomainList,
    /// True where every workspace has a host of its own.
    pub multi_workspace: bool,
    /// How long sessions and tokens live, and what signs them.
    pub sessions: SessionConfig,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// One is wrong or missing; the error names it.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let public_origin: WebOrigin =
            environment.optional_parsed("PUBLIC_URL")?.ok_or_else(|| {
                missing(
                    "PUBLIC_URL",
                    "the origin that browsers see, such as https://auth.example.com",
                )
            })?;
        if !public_origin.keeps_cookies() {
            return Err(ConfigError::new(
                "PUBLIC_URL",
                "must begin with https:// (http:// on localhost only): browsers keep the \
                 session's cookie on no other",
            ));
        }
        let multi_workspace = environment.flag("IS_MULTIWORKSPACE_ENABLED", false)?;
        let app = app_url(environment, &public_origin)?;
        if multi_workspace && app.domain().is_none() {
            return Err(ConfigError::new(
                "APP_URL",
                "must have a domain where IS_MULTIWORKSPACE_ENABLED is true: each workspace \
                 gets a host under it",
            ));
        }
        // Accepted because existing deployments set it; without effect here.
        environment.flag("IS_BILLING_ENABLED", false)?;
        let sessions = SessionConfig::from_environment(environment, &public_origin)?;
        Ok(Self {
            listen: environment.listen("HTTP_LISTEN", SocketAddr::from(([0, 0, 0, 0], 8080)))?,
            shutdown_delay: shutdown::delay(environment)?,
            health_listen: environment.listen("HEALTH_LISTEN", ([0, 0, 0, 0], 8083).into())?,
            returns: ReturnPolicy::new(
                app,
                &public_origin,
                allowed_origins(environment)?,
                multi_workspace,
            ),
            public_origin,
            flow_keys: environment
                .optional_parsed("FLOW_COOKIE_KEYS")?
                .ok_or_else(|| {
                    missing(
                        "FLOW_COOKIE_KEYS",
                        "<key id>:<32 bytes in base64url>, the newest first",
                    )
                })?,
            sealing_key: environment
                .optional_parsed("SEALING_PUBLIC_KEY")?
                .ok_or_else(|| {
                    missing(
                        "SEALING_PUBLIC_KEY",
                        "refresh-svc's public key, <key id>:<base64url>",
                    )
                })?,
            allowed_domains: domains(environment)?,
            multi_workspace,
            sessions,
        })
    }
}

fn missing(name: &str, hint: &str) -> ConfigError {
    ConfigError::new(name, format!("is missing: set it to {hint}"))
}

fn app_url(environment: &Environment, public: &WebOrigin) -> Result<Url, ConfigError> {
    const NAME: &str = "APP_URL";
    let Some(url) = environment.optional_parsed::<Url>(NAME)? else {
        return Ok(public.url().clone());
    };
    let plain = matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(ConfigError::new(
            NAME,
            "must be an http or https URL without user, query or fragment",
        ));
    }
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
            Err(error) => Err(ConfigError::new(NAME, format!("is wrong: {error}"))),
        })
        .collect()
}

fn domains(environment: &Environment) -> Result<DomainList, ConfigError> {
    const NAME: &str = "AUTH_ALLOWED_DOMAINS";
    DomainList::parse(&environment.list(NAME)?)
        .map_err(|error| ConfigError::new(NAME, format!("is wrong: {error}")))
}
