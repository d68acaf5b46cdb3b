//! The variables of the services, read as the services read them.

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use latchkey_messaging::broker::BrokerConfig;
use latchkey_policy::{CallerSettings, CallersBy};
use latchkey_sealing::SealingKey;
use latchkey_service::{database, trust};
use latchkey_workspaces::domain_list::DomainList;
use url::Url;

use crate::finding::Finding;
use crate::outcome::Looked;
use crate::service::Service;
use crate::world::{Source, World};

/// The faults of the variables of one source.
struct Read {
    source: String,
    service: Option<Service>,
    names: usize,
    faults: Vec<ConfigError>,
}

pub(crate) fn check(world: &World) -> Looked {
    let read: Vec<Read> = world
        .sources
        .iter()
        .map(|source| look(world, source))
        .collect();
    Looked {
        seen: read.iter().map(line).collect(),
        findings: read.iter().flat_map(judge).collect(),
        detail: None,
    }
}

fn look(world: &World, source: &Source) -> Read {
    let environment = &source.environment;
    let service = source.service.or_else(|| guess(environment));
    let reader = world
        .readers
        .iter()
        .find(|(known, _)| Some(*known) == service)
        .map(|(_, reader)| *reader);
    let read = match (service, reader) {
        (_, Some(reader)) => reader(environment),
        (Some(service), None) => read_service(service, source),
        (None, None) => read_what_is_set(source),
    };
    let mut faults: Vec<ConfigError> = Vec::new();
    if let Err(errors) = read {
        faults.extend(errors.iter().cloned());
    }
    // Only then are the names complete that a misspelt one is compared with.
    if reader.is_some() {
        let read = environment.names_read();
        let unread = |warning: &ConfigError| !read.contains(&warning.name);
        faults.extend(environment.warnings().into_iter().filter(unread));
    }
    Read {
        source: source.name.clone(),
        service,
        names: environment.names_read().len(),
        faults,
    }
}

/// A shell that has the public URL has the configuration of auth-svc.
fn guess(environment: &Environment) -> Option<Service> {
    let public = environment.optional("PUBLIC_URL");
    matches!(public, Ok(Some(_))).then_some(Service::Auth)
}

/// The variables that the services share, and what each of them needs besides.
fn read_service(service: Service, source: &Source) -> Result<(), ConfigErrors> {
    let environment = &source.environment;
    let own = match service {
        Service::Auth => read_auth(source),
        Service::Sync => read_callers(environment),
        Service::Refresh => read_refresh(source),
    };
    read_all! {
        let () = trust::check(environment);
        let _ = database::options(environment);
        let _ = BrokerConfig::from_environment(environment, service.name());
        let () = own;
    }
    Ok(())
}

fn read_auth(source: &Source) -> Result<(), ConfigErrors> {
    const KEYS: &str = "what `latchkey keys generate` or docs/configuration.md say";
    let environment = &source.environment;
    read_all! {
        let _ = environment.required_parsed::<Url>(
            "PUBLIC_URL",
            "the origin that browsers see, such as https://auth.example.com",
        );
        let () = read_sign_in_providers(source);
        let _ = environment.required_parsed::<SealingKey>(
            "SEALING_PUBLIC_KEY",
            "refresh-svc's public key, <key id>:<base64url>",
        );
        let _ = environment.secret("FLOW_COOKIE_KEYS", KEYS);
        let _ = environment.secret("SESSION_SIGNING_KEYS", KEYS);
        let _ = allowed_domains(environment);
    }
    Ok(())
}

fn read_sign_in_providers(source: &Source) -> Result<(), ConfigErrors> {
    let providers = source.providers.as_ref().map_err(Clone::clone)?;
    providers.require_callbacks()?;
    if source
        .environment
        .flag("IS_MULTIWORKSPACE_ENABLED", false)?
    {
        providers.require_email_domains()?;
    }
    Ok(())
}

fn read_callers(environment: &Environment) -> Result<(), ConfigErrors> {
    read_all! {
        let _ = CallersBy::server_tls(environment);
        let _ = CallerSettings::from_environment(environment);
    }
    Ok(())
}

fn read_refresh(source: &Source) -> Result<(), ConfigErrors> {
    read_all! {
        let () = read_callers(&source.environment);
        let _ = source.providers.clone();
        let _ = source.environment.secret(
            "SEALING_PRIVATE_KEYS",
            "what `refresh-svc keys generate` prints",
        );
    }
    Ok(())
}

/// What is read of a shell of which it is not known whose configuration it has.
fn read_what_is_set(source: &Source) -> Result<(), ConfigErrors> {
    let environment = &source.environment;
    let mut errors = ConfigErrors::default();
    errors.take(trust::check(environment));
    if !matches!(environment.optional("DATABASE_URL"), Ok(None)) {
        errors.take(database::options(environment));
    }
    if !matches!(environment.optional("AMQP_URL"), Ok(None)) {
        errors.take(BrokerConfig::from_environment(environment, "doctor"));
    }
    errors.take(source.providers.as_ref().map(drop).map_err(Clone::clone));
    errors.or(())
}

/// The domains that may sign in to the deployment.
///
/// # Errors
/// One of them is not a domain.
pub(crate) fn allowed_domains(environment: &Environment) -> Result<DomainList, ConfigError> {
    const NAME: &str = "AUTH_ALLOWED_DOMAINS";
    DomainList::parse(&environment.list(NAME)?)
        .map_err(|error| ConfigError::new(NAME, format!("each {error}")))
}

fn judge(read: &Read) -> impl Iterator<Item = Finding> {
    let source = read
        .service
        .map_or(read.source.clone(), |service| service.to_string());
    read.faults.iter().map(move |fault| Finding::Variable {
        source: source.clone(),
        name: fault.name.clone(),
        problem: fault.problem.clone(),
    })
}

fn line(read: &Read) -> String {
    let whose = match read.service {
        Some(service) if read.source != service.name() => format!(" as that of {service}"),
        _ => String::new(),
    };
    format!("{}{whose}: {} variables", read.source, read.names)
}
