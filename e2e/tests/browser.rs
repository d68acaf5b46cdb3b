//! The pages in Chromium: what only a real browser shows.
//!
//! `SHOTS=<directory> cargo dev test -- -p latchkey-e2e --test browser` saves a
//! screenshot of every page, wide and narrow, light and dark.

use std::time::Duration;

use anyhow::Context as _;
use devstack::walkthrough::{get_access_token, refresh_access_token};
use devstack::{Options, ServiceId, Stack};
use latchkey_demo_provider::Flavour;
use latchkey_e2e::{account, eventually, packages, run, script};
use latchkey_proto::account::report_sync_request::{Completed, Report};
use latchkey_proto::account::{GetAccountRequest, ReportSyncRequest};
use latchkey_servers::{Package, ensure_installed, silent};

// R4, R7, R8, R11, R14, R16, R22, R23, R24, R36, R37
#[test]
fn the_pages_work_in_a_browser() -> anyhow::Result<()> {
    run(async {
        ensure_installed(&[Package::Chromium], &silent())?;
        let place = packages::install_npm("browser")?;
        let mut stack = Stack::start(
            Options::test()
                .with("CONNECT_MODE", "confirm")
                // All requests come from the same address.
                .with("RATE_LIMIT_PER_ADDRESS", "0"),
        )
        .await?;
        let command = script::node(&place, "pages.mjs", &stack);
        script::run(command, async |command| execute(&mut stack, command).await).await
    })
}

/// Executes a command of the script: an event outside the browser.
async fn execute(stack: &mut Stack, command: &str) -> anyhow::Result<String> {
    let words: Vec<&str> = command.split(' ').collect();
    match words.as_slice() {
        ["done", handle, provider] => done(stack, handle, provider).await?,
        ["revoke", person, handle, provider] => revoke(stack, person, handle, provider).await?,
        ["stop", service] => stack.service(part(service)?)?.stop(),
        ["start", service] => stack.service(part(service)?)?.start().await?,
        ["workspace", arguments @ ..] => return script::workspace(stack, arguments).await,
        _ => anyhow::bail!("unknown command: {command}"),
    }
    Ok(String::new())
}

fn part(service: &str) -> anyhow::Result<ServiceId> {
    match service {
        "sync-svc" => Ok(ServiceId::Sync),
        "refresh-svc" => Ok(ServiceId::Refresh(0)),
        _ => anyhow::bail!("unknown service: {service}"),
    }
}

/// Reports that the first sync of every channel is complete, as a worker does.
async fn done(stack: &Stack, handle: &str, provider: &str) -> anyhow::Result<()> {
    let id = account(stack, provider, handle).await?.id;
    let mut accounts = stack.accounts().await?;
    let request = GetAccountRequest {
        account_id: id.to_string(),
    };
    let found = accounts.get_account(request).await?.into_inner().account;
    for channel in found.context("no account")?.channels {
        let request = ReportSyncRequest {
            channel_id: channel.id,
            job_id: channel.sync_job_id,
            generation: channel.generation,
            report: Some(Report::Completed(Completed {
                sync_cursor: "1".to_owned(),
            })),
        };
        accounts.report_sync(request).await?;
    }
    Ok(())
}

/// The person withdraws access at the provider, and a refresh shows it.
async fn revoke(stack: &Stack, person: &str, handle: &str, provider: &str) -> anyhow::Result<()> {
    let flavour = match provider {
        "google" => Flavour::Google,
        "microsoft" => Flavour::Microsoft,
        _ => Flavour::Oidc,
    };
    let id = account(stack, provider, handle).await?.id;
    let mut tokens = stack.tokens(0).await?;
    let token = get_access_token(&mut tokens, id, Duration::from_mins(1)).await?;
    stack.demo().revoke(person, Some(flavour));
    let answer = refresh_access_token(&mut tokens, id, token.version).await;
    anyhow::ensure!(answer.is_err(), "a revoked grant gave a token");
    eventually("an account with a dead grant", async || {
        let dead: Option<bool> = sqlx::query_scalar(
            "SELECT true FROM vault.credential WHERE account_id = $1 AND auth_failed_at IS NOT NULL",
        )
        .bind(id)
        .fetch_optional(stack.pool())
        .await?;
        Ok(dead)
    })
    .await?;
    Ok(())
}
