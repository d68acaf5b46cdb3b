//! `cargo dev up`: the complete product on this machine, and one sign-in with it.

use anyhow::Context as _;
use latchkey_servers::Progress;

use crate::grpcurl;
use crate::stack::{Options, ServiceId, Stack};
use crate::status::Addresses;
use crate::walkthrough::{self, Route};

/// Starts the stack, runs the walkthrough, and then waits until this future is dropped. With
/// `once` it returns after the walkthrough.
///
/// # Errors
/// A server or service does not start, or a step of the walkthrough fails.
pub async fn run(once: bool, progress: &Progress) -> anyhow::Result<i32> {
    let stack = Stack::start(Options::development(progress.clone())).await?;
    let addresses = Addresses::of(&stack)?;
    addresses.publish()?;
    match Route::of(&stack) {
        Some(route) => {
            progress(&format!(
                "one sign-in with the demo provider as {}",
                route.provider
            ));
            walkthrough::run(&stack, route, progress)
                .await
                .with_context(|| {
                    format!(
                        "the walkthrough failed; the logs are in {}",
                        keep_logs(&stack)
                    )
                })?;
            progress("every step succeeded");
        }
        None => anyhow::ensure!(
            !once,
            "real providers are configured, and only a person can sign in there"
        ),
    }
    if once {
        return Ok(0);
    }
    invite(&stack, &addresses, progress).await?;
    watch(stack, progress).await
}

fn keep_logs(stack: &Stack) -> String {
    // Somebody must be able to read the logs after the stack has ended.
    stack.servers.keep_directory();
    stack.directory().display().to_string()
}

async fn invite(stack: &Stack, addresses: &Addresses, progress: &Progress) -> anyhow::Result<()> {
    progress("running; open one of these addresses in a browser:");
    for address in addresses.auth.sign_in.values() {
        progress(&format!("    {address}"));
    }
    // These are the domains in the database, which may differ from those of a new stack.
    let domains: Vec<String> = sqlx::query_scalar(
        "SELECT domain FROM auth.approved_access_domain WHERE workspace_id = $1 ORDER BY domain",
    )
    .bind(stack.database().workspace_id())
    .fetch_all(stack.pool())
    .await?;
    progress(&format!("people of {} may sign in", domains.join(", ")));
    let real = addresses
        .auth
        .sign_in
        .keys()
        .any(|name| is_real(stack, name));
    if real {
        progress("more domains: LATCHKEY_DEV_DOMAINS=example.com cargo dev up");
    }
    let account = sqlx::query_scalar(
        "SELECT id FROM sync.connected_account WHERE disconnected_at IS NULL
         ORDER BY id LIMIT 1",
    )
    .fetch_optional(stack.pool())
    .await?;
    if let Some(command) = grpcurl::command(addresses, account) {
        progress("a token with grpcurl:");
        progress(&format!("    {command}"));
    }
    progress("addresses for other tools: cargo dev status --json");
    progress(&format!("logs: {}", addresses.directory.display()));
    progress("Ctrl-C stops everything");
    Ok(())
}

/// Returns `true` if the provider `name` is not the demo provider.
fn is_real(stack: &Stack, name: &str) -> bool {
    let upper = name.to_uppercase();
    let variables = stack.provider_environment();
    let demo = stack.demo().base_url();
    ![
        format!("AUTH_{upper}_ISSUER"),
        format!("AUTH_{upper}_AUTHORITY"),
        format!("AUTH_OIDC_{upper}_ISSUER"),
    ]
    .iter()
    .filter_map(|variable| variables.get(variable))
    .any(|value| value.starts_with(demo))
}

/// Prints a message when a service ends by itself, and never returns.
async fn watch(mut stack: Stack, progress: &Progress) -> anyhow::Result<i32> {
    let ids: Vec<ServiceId> = stack.services().map(|(id, _)| *id).collect();
    let mut down: Vec<ServiceId> = Vec::new();
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        for id in &ids {
            let service = stack.service(*id)?;
            if !service.is_running() && !down.contains(id) {
                down.push(*id);
                progress(&format!(
                    "{} has ended; its log is {}",
                    service.name(),
                    service.log().display()
                ));
            }
        }
    }
}
