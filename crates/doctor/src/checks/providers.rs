//! Which providers are switched on.

use latchkey_config::Environment;
use latchkey_providers::built_in_names;

use crate::check_id::CheckId;
use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::world::World;

/// A built-in provider in the variables.
struct Switch {
    provider: &'static str,
    has_client: bool,
    on: bool,
}

pub(crate) fn check(world: &World) -> Outcome {
    let switches: Vec<(String, Vec<Switch>)> = world
        .sources
        .iter()
        .map(|source| (source.name.clone(), look(&source.environment)))
        .collect();
    let Some((source, registry)) = world.sign_in_providers() else {
        return Err(NotLooked::Because(CheckId::Environment));
    };
    let names: Vec<&str> = registry.iter().map(|provider| provider.label()).collect();
    // A shell with neither credentials nor the configuration of auth-svc says nothing about
    // sign-in.
    let says = !names.is_empty() || source.is_auth_svc();
    let mut findings: Vec<Finding> = Vec::new();
    for (_, switches) in &switches {
        findings.extend(judge(switches));
    }
    findings.dedup();
    if findings.is_empty() && !says {
        return Err(NotLooked::NotSet("AUTH_<P>_CLIENT_ID"));
    }
    if findings.is_empty() && names.is_empty() {
        findings.push(no_provider());
    }
    Ok(Looked {
        seen: vec![names.join(", ")],
        findings,
        detail: None,
    })
}

fn look(environment: &Environment) -> Vec<Switch> {
    let switch = |provider: &'static str| {
        let upper = provider.to_uppercase();
        let client = environment.optional(&format!("AUTH_{upper}_CLIENT_ID"));
        Switch {
            provider,
            has_client: matches!(client, Ok(Some(_))),
            on: environment
                .flag(&format!("AUTH_{upper}_ENABLED"), false)
                // A wrong value is a fault of the configuration.
                .unwrap_or(true),
        }
    };
    built_in_names().map(switch).collect()
}

fn judge(switches: &[Switch]) -> Vec<Finding> {
    let off = switches
        .iter()
        .filter(|switch| switch.has_client && !switch.on);
    off.map(disabled).collect()
}

fn disabled(switch: &Switch) -> Finding {
    let provider = switch.provider;
    let name = format!("AUTH_{}_ENABLED", provider.to_uppercase());
    Finding {
        code: "provider_disabled",
        runbook: Runbook::SignIn,
        problem: format!(
            "the provider {provider} is configured and switched off: {name} is not true"
        ),
        looked_at: format!("{name}, and the client id beside it"),
        remedy: format!("set {name}=true, at auth-svc and at refresh-svc, or remove its client id"),
    }
}

fn no_provider() -> Finding {
    Finding {
        code: "no_provider",
        runbook: Runbook::SignIn,
        problem: "no provider is switched on, so nobody can sign in".to_owned(),
        looked_at: "AUTH_GOOGLE_ENABLED, AUTH_MICROSOFT_ENABLED, AUTH_OIDC_<NAME>_ISSUER"
            .to_owned(),
        remedy: "switch a provider on (docs/providers.md)".to_owned(),
    }
}
