//! The environment variables of each service.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use latchkey_demo_provider::DemoProvider;
use latchkey_servers::{Certificates, ChildSpec, free_port};
use secrecy::ExposeSecret as _;

use super::policy::{self, Policy};
use super::secrets::Secrets;
use super::{Database, Options, Service, ServiceId};
use crate::build::binary;
use crate::servers::Servers;

/// Prefixes of the variables of this process that services inherit: those with which a person
/// configures a real provider.
const INHERITED_PREFIXES: [&str; 5] = ["AUTH_", "MESSAGING_", "CALENDAR_", "IS_", "OTEL_"];
const INHERITED: [&str; 15] = [
    "ALLOWED_RETURN_ORIGINS",
    "APP_URL",
    "CONNECT_MODE",
    "LOG_FORMAT",
    "RUST_LOG",
    "SESSION_EXPIRES_IN",
    "SESSION_IDLE_EXPIRES_IN",
    "ACCESS_TOKEN_AUDIENCE",
    "ACCESS_TOKEN_EXPIRES_IN",
    "REFRESH_TOKEN_EXPIRES_IN",
    "TOKEN_PAIR_COOKIE_ENABLED",
    // Outgoing connections of this machine.
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// Returns the variables of providers and features: those of the demo provider, unless the
/// variables of this process configure a real one.
pub(super) fn providers(demo: &DemoProvider, options: &Options) -> BTreeMap<String, String> {
    let inherited: BTreeMap<String, String> = if options.inherit {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| !value.is_empty() && is_inherited(name))
            .collect()
    } else {
        BTreeMap::new()
    };
    let mut variables = demo.environment();
    for provider in ["AUTH_GOOGLE_", "AUTH_MICROSOFT_"] {
        let is_real = |name: &str| inherited.contains_key(&format!("{provider}{name}"));
        if is_real("CLIENT_ID") || is_real("CLIENT_ID_FILE") {
            variables.retain(|name, _| !name.starts_with(provider));
            variables.insert(format!("{provider}ENABLED"), "true".to_owned());
        }
    }
    for name in [
        "MESSAGING_PROVIDER_GMAIL_ENABLED",
        "MESSAGING_PROVIDER_MICROSOFT_ENABLED",
        "CALENDAR_PROVIDER_GOOGLE_ENABLED",
        "CALENDAR_PROVIDER_MICROSOFT_ENABLED",
    ] {
        variables.insert(name.to_owned(), "true".to_owned());
    }
    for (name, scopes) in [
        ("AUTH_OIDC_DEMO_MESSAGING_SCOPES", "mail.read"),
        ("AUTH_OIDC_DEMO_CALENDAR_SCOPES", "calendar.read"),
    ] {
        variables.insert(name.to_owned(), scopes.to_owned());
    }
    variables.extend(inherited);
    variables.extend(options.environment.clone());
    variables.retain(|_, value| !value.is_empty());
    variables
}

/// Everything that the services are connected to.
pub(super) struct Wiring<'a> {
    pub servers: &'a Servers,
    pub database: &'a Database,
    pub secrets: &'a Secrets,
    pub certificates: &'a Certificates,
    pub public_url: &'a str,
    /// The variables of [`providers`].
    pub providers: &'a BTreeMap<String, String>,
}

impl Wiring<'_> {
    /// Returns the replica `name` of auth-svc without starting it.
    pub(super) fn auth(
        &self,
        name: &str,
        port: u16,
        grpc_ports: &BTreeMap<ServiceId, u16>,
    ) -> anyhow::Result<Service> {
        let client = self.certificates.client(policy::PAGES)?;
        let listen = format!("127.0.0.1:{port}");
        let health = format!("127.0.0.1:{}", free_port()?);
        let mut spec = self
            .spec("auth-svc", name, self.database.auth_url())?
            .env("PUBLIC_URL", self.public_url)
            .env("HTTP_LISTEN", &listen)
            .env("HEALTH_LISTEN", &health)
            .env("FLOW_COOKIE_KEYS", &self.secrets.flow_cookie_keys)
            .env("SESSION_SIGNING_KEYS", &self.secrets.session_signing_keys)
            .env(
                "SEALING_PUBLIC_KEY",
                self.secrets.opening_key.sealing_key().to_string(),
            )
            .env("GRPC_CLIENT_CERT_FILE", client.certificate)
            .env("GRPC_CLIENT_KEY_FILE", client.key)
            .env("GRPC_CLIENT_CA_FILE", self.certificates.authority_file());
        for (name, id) in [
            ("SYNC_GRPC_URL", ServiceId::Sync),
            ("TOKEN_GRPC_URL", ServiceId::Refresh(0)),
        ] {
            if let Some(port) = grpc_ports.get(&id) {
                spec = spec.env(name, format!("https://localhost:{port}"));
            }
        }
        Service::new(spec, format!("http://{health}/readyz"))
    }

    /// Returns sync-svc or a replica of refresh-svc without starting it.
    pub(super) fn grpc(&self, id: ServiceId, port: u16) -> anyhow::Result<Service> {
        let (program, name, url) = match id {
            ServiceId::Refresh(0) => (
                "refresh-svc",
                "refresh-svc".to_owned(),
                self.database.refresh_url(),
            ),
            ServiceId::Refresh(replica) => (
                "refresh-svc",
                format!("refresh-svc-{replica}"),
                self.database.refresh_url(),
            ),
            ServiceId::Auth | ServiceId::AuthReplica(_) | ServiceId::Sync => {
                ("sync-svc", "sync-svc".to_owned(), self.database.sync_url())
            }
        };
        let certificate = self.certificates.server(&name)?;
        let health = format!("127.0.0.1:{}", free_port()?);
        let mut spec = self
            .spec(program, &name, url)?
            .env("GRPC_LISTEN", format!("127.0.0.1:{port}"))
            .env("GRPC_TLS_CERT_FILE", certificate.certificate)
            .env("GRPC_TLS_KEY_FILE", certificate.key)
            .env(
                "GRPC_TLS_CLIENT_CA_FILE",
                self.certificates.authority_file(),
            )
            .env("HEALTH_LISTEN", &health);
        let directory = self.servers.directory();
        if program == "refresh-svc" {
            let key = self.secrets.opening_key.to_secret_text();
            spec = spec
                .env("SEALING_PRIVATE_KEYS", key.expose_secret())
                .env("POLICY_FILE", Policy::Tokens.write(&directory)?);
        } else {
            spec = spec.env("POLICY_FILE", Policy::Accounts.write(&directory)?);
        }
        Service::new(spec, format!("http://{health}/readyz"))
    }

    fn spec(&self, program: &str, name: &str, database_url: &str) -> anyhow::Result<ChildSpec> {
        let directory = self.servers.directory();
        let log = directory.join(format!("{name}.log"));
        let mut spec = ChildSpec::new(name, binary(program)?, Path::new("/"), &log)
            .env("DATABASE_URL", database_url)
            .env("AMQP_URL", self.servers.rabbitmq.url())
            // There is no load balancer that needs time to notice the stop.
            .env("SHUTDOWN_DELAY", "0s")
            .env("RUST_BACKTRACE", "1");
        spec.clear_environment = true;
        spec.environment.extend(
            self.providers
                .iter()
                .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        );
        Ok(spec)
    }
}

fn is_inherited(name: &str) -> bool {
    INHERITED.contains(&name)
        || INHERITED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    // R40
    #[test]
    fn the_document_lists_what_is_passed_on() {
        let document = include_str!("../../../../docs/configuration.md");
        let (_, list) = document.split_once("`cargo dev up` passes").unwrap();
        let list = list.split("\n## ").next().unwrap();
        for name in INHERITED.iter().chain(&INHERITED_PREFIXES) {
            assert!(list.contains(&format!("`{name}`")), "{name}");
        }
        let named = list.split('`').filter(|word| {
            let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            !word.is_empty() && word.bytes().all(is_letter)
        });
        for name in named {
            assert!(is_inherited(name), "{name}");
        }
    }
}
