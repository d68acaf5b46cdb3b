//! The pages in Chromium: what only a real browser shows.
//!
//! `SHOTS=<directory> cargo dev test -- -p latchkey-e2e --test browser` saves a
//! screenshot of every page, wide and narrow, light and dark.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use devstack::build::binary;
use devstack::walkthrough::{get_access_token, refresh_access_token};
use devstack::{Options, ServiceId, Stack};
use latchkey_demo_provider::Flavour;
use latchkey_e2e::{account, eventually, node, run};
use latchkey_proto::account::report_sync_request::{Completed, Report};
use latchkey_proto::account::{GetAccountRequest, ReportSyncRequest};
use latchkey_servers::{Package, ensure_installed, silent};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// Time limit of all steps on a busy machine.
const TIME_LIMIT: Duration = Duration::from_mins(5);

// R4, R7, R8, R11, R14, R16, R22, R23, R24, R36, R37
#[test]
fn the_pages_work_in_a_browser() -> anyhow::Result<()> {
    run(async {
        ensure_installed(&[Package::Chromium], &silent())?;
        let place = node::install("browser")?;
        let mut stack = Stack::start(
            Options::test()
                .with("CONNECT_MODE", "confirm")
                // All requests come from the same address.
                .with("RATE_LIMIT_PER_ADDRESS", "0"),
        )
        .await?;
        let mut child = Command::new("node")
            .arg("pages.mjs")
            .args(std::env::var("STEP").ok())
            .current_dir(place)
            .env("PUBLIC_URL", stack.public_url())
            .env("DEMO_URL", stack.demo().base_url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run node")?;
        let mut answers = child.stdin.take().context("no standard input")?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let steps = async {
            while let Some(line) = lines.next_line().await? {
                eprintln!("{line}");
                let Some(command) = line.strip_prefix('@') else {
                    continue;
                };
                let answer = match execute(&mut stack, command).await {
                    Ok(answer) => format!("ok {}\n", answer.trim()),
                    Err(error) => format!("{error:#}\n").replace('\n', " ") + "\n",
                };
                answers.write_all(answer.as_bytes()).await?;
            }
            child.wait().await.context("cannot wait for node")
        };
        let status = tokio::time::timeout(TIME_LIMIT, steps)
            .await
            .context("the steps took too long")??;
        anyhow::ensure!(status.success(), "a step failed");
        Ok(())
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
        ["workspace", arguments @ ..] => return workspace(stack, arguments).await,
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

/// Runs `auth-svc workspace` and returns its output.
async fn workspace(stack: &Stack, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(binary("auth-svc")?)
        .arg("workspace")
        .args(arguments)
        .env("DATABASE_URL", stack.database().url())
        .env("PUBLIC_URL", stack.public_url())
        .output()
        .await?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.replace('\n', " "))
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
