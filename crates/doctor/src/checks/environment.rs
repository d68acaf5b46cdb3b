//! The variables of the services, read as the services read them: those that a crate of both
//! reads. The service's own `config check` reads all of its variables.

use latchkey_config::{ConfigError, ConfigErrors, Environment, WebOrigin, read_all};
use latchkey_messaging::broker::BrokerConfig;
use latchkey_policy::{CallerSettings, CallersBy};
use latchkey_sealing::SealingKey;
use latchkey_service::{database, trust};
use latchkey_signing_keys::SigningKeys;
use latchkey_workspaces::domain_list::DomainList;

use crate::finding::Finding;
use crate::outcome::Looked;
use crate::runbook::Runbook;
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
    let read: Vec<Read> = world.sources.iter().map(look).collect();
    Looked {
        seen: read.iter().map(line).collect(),
        findings: read.iter().flat_map(judge).collect(),
        detail: None,
    }
}

fn look(source: &Source) -> Read {
    let environment = &source.environment;
    let guessed = source.is_auth_svc().then_some(Service::Auth);
    let service = source.service.or(guessed);
    let read = match service {
        Some(service) => read_service(service, source),
        None => read_what_is_set(source),
    };
    Read {
        source: source.name.clone(),
        service,
        names: environment.names_read().len(),
        faults: read
            .err()
            .map(|errors| errors.iter().cloned().collect())
            .unwrap_or_default(),
    }
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
    let environment = &source.environment;
    read_all! {
        let _ = WebOrigin::public(environment);
        let () = read_sign_in_providers(source);
        let _ = environment.required_parsed::<SealingKey>(
            "SEALING_PUBLIC_KEY",
            "refresh-svc's public key, <key id>:<base64url>",
        );
        let _ = environment.secret(
            "FLOW_COOKIE_KEYS",
            "<key id>:<32 bytes in base64url>, the newest first",
        );
        let _ = environment.required_parsed::<SigningKeys>(
            "SESSION_SIGNING_KEYS",
            "what `latchkey keys generate` prints",
        );
        let _ = allowed_domains(environment);
        let () = read_grpc_clients(environment);
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

/// With the address of another service, auth-svc needs a certificate and the authority of the
/// other one.
fn read_grpc_clients(environment: &Environment) -> Result<(), ConfigErrors> {
    const PEM: &str = "PEM, usually from a file";
    read_all! {
        let accounts = environment.optional("SYNC_GRPC_URL");
        let tokens = environment.optional("TOKEN_GRPC_URL");
    }
    if accounts.is_none() && tokens.is_none() {
        return Ok(());
    }
    read_all! {
        let _ = environment.required("GRPC_CLIENT_CERT", PEM);
        let _ = environment.secret("GRPC_CLIENT_KEY", PEM);
        let _ = environment.required("GRPC_CLIENT_CA", PEM);
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
    let whose = read
        .service
        .map_or(read.source.clone(), |service| service.to_string());
    read.faults.iter().map(move |fault| finding(&whose, fault))
}

fn finding(whose: &str, fault: &ConfigError) -> Finding {
    let ConfigError { name, problem } = fault;
    let looked_at = format!("{name} in the environment of {whose}");
    if name.starts_with("SEALING_PUBLIC_KEY") || name.starts_with("SEALING_PRIVATE_KEYS") {
        return Finding {
            code: "sealing_key_missing",
            runbook: Runbook::SealingKey,
            problem: format!("{whose}: the sealing key: {name} {problem}"),
            looked_at,
            remedy: format!(
                "set {name}, or {name}_FILE to the path of a file, from your backup of the keys. \
                 Only if no grant was stored yet, make a pair with `refresh-svc keys generate`"
            ),
        };
    }
    Finding {
        code: "variable",
        runbook: Runbook::Variable,
        problem: format!("{whose}: {name} {problem}"),
        looked_at,
        remedy: format!(
            "correct {name} (docs/configuration.md), restart the service, and run `config check` \
             of it"
        ),
    }
}

fn line(read: &Read) -> String {
    let Some(service) = read.service else {
        return format!("{}: {} variables", read.source, read.names);
    };
    let whose = if read.source == service.name() {
        String::new()
    } else {
        format!(" as that of {service}")
    };
    format!(
        "{}{whose}: {} variables; `{service} config check` reads the others",
        read.source, read.names
    )
}
