//! `cargo dev providers`: tests everything that can happen to a grant with Keycloak and Ory
//! Hydra as published, in front of which the three services run.
//!
//! This is not part of `cargo dev test`, because both servers have to be downloaded or built
//! first.

mod hydra;
mod installation;
mod keycloak;
mod process;
mod registration;
mod results;
mod scenarios;
mod stack_client;

use std::io::Write as _;

use latchkey_servers::{Progress, free_port};

use crate::stack::{Options, Stack};
use hydra::{Grace, Hydra};
use installation::Installation;
use keycloak::Keycloak;
use results::Results;
use stack_client::StackClient;

/// Installs missing servers, starts everything, runs the scenarios, and prints a table of
/// expected and actual results. Returns the exit code, which is 0 only if every step succeeded.
///
/// # Errors
/// A program is missing, or a server or service does not start.
pub async fn run(only: Option<&str>, progress: &Progress) -> anyhow::Result<i32> {
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
    let keycloak = keycloak
        .map(|program| Keycloak::new(program, &public_url))
        .transpose()?;
    let hydra = hydra
        .map(|program| Hydra::new(program, &public_url))
        .transpose()?;
    if let Some(keycloak) = &keycloak {
        options.environment.extend(keycloak.variables());
    }
    if let Some(hydra) = &hydra {
        options.environment.extend(hydra.variables());
    }
    let stack = Stack::start(options).await?;

    let mut table = Results::default();
    if let Some(keycloak) = keycloak {
        progress(&format!("starting {}", keycloak.version()));
        keycloak.start().await?;
        keycloak.prepare().await?;
        let stack_client = StackClient::new(&stack, keycloak::NAME)?;
        scenarios::keycloak::run(
            &stack_client,
            &keycloak,
            &mut table.for_server(keycloak::NAME, progress),
        )
        .await;
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
