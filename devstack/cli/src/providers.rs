//! `cargo dev providers`: tests everything that can happen to a grant with Keycloak and Ory
//! Hydra as published, in front of which the three services run; at Keycloak also the ends of
//! sessions, the client's key, and pushed authorization requests.
//!
//! This is not part of `cargo dev test`, because both servers have to be downloaded or built
//! first.

mod credentials;
mod hydra;
mod installation;
mod keycloak;
mod part;
mod process;
mod registration;
mod results;
mod scenarios;
mod stack_client;
mod visitor;

use std::io::Write as _;

use latchkey_servers::{Progress, free_port};

use crate::stack::{Options, ServiceId, Stack};
use hydra::{Grace, Hydra};
use installation::Installation;
use keycloak::{Keycloak, Realm};
pub use part::Part;
use results::Results;
use stack_client::StackClient;

/// The order in which the parts run. The last step restarts Keycloak with other settings.
const PARTS: [Part; 4] = [Part::Grants, Part::Sessions, Part::Keys, Part::Pushed];

/// Installs missing servers, starts everything, runs the scenarios, and prints a table of
/// expected and actual results. Returns the exit code, which is 0 only if every step succeeded.
/// `only` names one server, and `part` one part of the steps at Keycloak.
///
/// # Errors
/// A program is missing, or a server or service does not start.
pub async fn run(
    only: Option<&str>,
    part: Option<Part>,
    progress: &Progress,
) -> anyhow::Result<i32> {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let keycloak = if wanted(keycloak::NAME) {
        Some(in_background(installation::keycloak, progress).await?)
    } else {
        None
    };
    let hydra = if wanted(hydra::NAME) {
        Some(in_background(installation::hydra, progress).await?)
    } else {
        None
    };
    anyhow::ensure!(
        keycloak.is_some() || hydra.is_some(),
        "this server is unknown; the known ones are {} and {}",
        keycloak::NAME,
        hydra::NAME
    );

    let public_port = free_port()?;
    let public_url = format!("http://localhost:{public_port}");
    let mut options = Options::test();
    options.group = "providers";
    options.public_port = Some(public_port);
    options.progress = progress.clone();
    options.auth_replicas = 2;
    let keycloak = keycloak
        .map(|program| Keycloak::new(program, &public_url))
        .transpose()?;
    let hydra = hydra
        .map(|program| Hydra::new(program, &public_url))
        .transpose()?;
    if let Some(keycloak) = &keycloak {
        for realm in Realm::ALL {
            options.environment.extend(keycloak.of(realm).variables());
        }
    }
    if let Some(hydra) = &hydra {
        options.environment.extend(hydra.variables()?);
    }
    let mut stack = Stack::start(options).await?;

    let mut table = Results::default();
    if let Some(keycloak) = keycloak {
        progress(&format!("starting {}", keycloak.version()));
        keycloak.start().await?;
        for realm in Realm::ALL {
            keycloak.of(realm).prepare().await?;
        }
        let results = &mut table.for_server(keycloak::NAME, progress);
        let wanted = |known: &Part| part.is_none_or(|part| part == *known);
        for part in PARTS.into_iter().filter(wanted) {
            scenarios::keycloak::run(part, &stack, &keycloak, results).await?;
        }
        if wanted(&Part::Pushed) {
            // auth-svc reads the discovery document anew.
            keycloak.announce_pushed_requests().await?;
            let auth_svc = stack.service(ServiceId::Auth)?;
            auth_svc.stop();
            auth_svc.start().await?;
            let announced = keycloak.of(Realm::Announced);
            scenarios::keycloak::run_in(&announced, &stack, results).await?;
        }
    }
    if let Some(hydra) = hydra {
        progress("starting Hydra");
        hydra.start(Grace::None).await?;
        hydra.prepare().await?;
        let stack_client = StackClient::new(&stack, hydra::NAME)?;
        scenarios::hydra::run(
            &stack_client,
            &hydra,
            &mut table.for_server(hydra::NAME, progress),
        )
        .await;
        hydra.prepare_client_with_key().await?;
        let stack_client = StackClient::new(&stack, hydra::KEY_NAME)?;
        scenarios::hydra::run_with_key(
            &stack_client,
            &hydra,
            &mut table.for_server(hydra::NAME, progress),
        )
        .await;
    }
    let _ = write!(std::io::stdout(), "\n{table}");
    if table.all_succeeded() {
        return Ok(0);
    }
    stack.servers.keep_directory();
    progress(&format!("logs: {}", stack.directory().display()));
    Ok(1)
}

/// Installs a server in a blocking thread, so that Ctrl-C still ends this process.
async fn in_background(
    install: fn(&Progress) -> anyhow::Result<Installation>,
    progress: &Progress,
) -> anyhow::Result<Installation> {
    let progress = progress.clone();
    tokio::task::spawn_blocking(move || install(&progress)).await?
}
