//! Cross-site requests in Chromium: what another site can make a browser do, and how a
//! person reaches the same goals on the pages.
//!
//! `SHOTS=<directory> cargo dev test -- -p latchkey-e2e --test cross_site` saves a
//! screenshot of every page, wide and narrow, light and dark.

use anyhow::Context as _;
use devstack::{Options, Stack};
use latchkey_e2e::{account, eventually, packages, run, script};
use latchkey_servers::{Package, ensure_installed, free_port, silent};

// R7, R8, R10, R16
#[test]
fn another_site_changes_nothing() -> anyhow::Result<()> {
    run(async {
        ensure_installed(&[Package::Chromium], &silent())?;
        let place = packages::install_npm("browser")?;
        // A front end on another origin, which the script serves.
        let crm = format!("http://crm.localhost:{}", free_port()?);
        let stack = Stack::start(
            Options::test()
                .with("IS_MULTIWORKSPACE_ENABLED", "true")
                .with("AUTH_OIDC_DEMO_EMAIL_DOMAINS", "acme.example")
                .with("ALLOWED_RETURN_ORIGINS", crm.as_str())
                // All requests come from the same address.
                .with("RATE_LIMIT_PER_ADDRESS", "0"),
        )
        .await?;
        script::workspace(&stack, &["create", "evil", "--subdomain", "evil"]).await?;
        let mut command = script::node(&place, "cross-site.mjs", &stack);
        command.env("CRM_URL", &crm);
        script::run(command, async |command| execute(&stack, command).await).await
    })
}

/// Executes a command of the script: an event outside the browser.
async fn execute(stack: &Stack, command: &str) -> anyhow::Result<String> {
    let words: Vec<&str> = command.split(' ').collect();
    match words.as_slice() {
        ["state-digest"] => state_digest(stack).await,
        ["connected", handle, provider] => visibility(stack, handle, provider).await,
        ["accounts", handle] => accounts(stack, handle).await,
        ["public-invite", name] => parameter(
            &script::workspace(stack, &["public-invite", "on", "--workspace", name]).await?,
        ),
        ["invite", name, email] => {
            parameter(&script::workspace(stack, &["invite", email, "--workspace", name]).await?)
        }
        _ => anyhow::bail!("unknown command: {command}"),
    }
}

/// The parameter `workspaceInviteHash=…` of a printed link.
fn parameter(output: &str) -> anyhow::Result<String> {
    output
        .split_whitespace()
        .find_map(|word| word.split_once("/?"))
        .map(|(_, parameter)| parameter.to_owned())
        .with_context(|| format!("no link in {output}"))
}

/// Waits until every event is published.
async fn published(stack: &Stack) -> anyhow::Result<()> {
    eventually("an empty outbox", async || {
        let (left,): (i64,) = sqlx::query_as("SELECT count(*) FROM auth.outbox")
            .fetch_one(stack.pool())
            .await?;
        Ok((left == 0).then_some(()))
    })
    .await
}

/// A digest of everything that an attack could change: people, memberships, sessions,
/// flows, hand-over codes, accounts and their visibility.
async fn state_digest(stack: &Stack) -> anyhow::Result<String> {
    published(stack).await?;
    let (digest,): (String,) = sqlx::query_as(
        r#"SELECT md5(concat_ws('|',
               (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM auth.app_user t),
               (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM auth.identity t),
               (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM auth.workspace_member t),
               (SELECT string_agg(id::text || coalesce(revoked_at::text, ''), ',' ORDER BY id)
                FROM auth.session),
               (SELECT count(*)::text FROM auth.spent_flow),
               (SELECT count(*)::text FROM auth.handover_code),
               (SELECT string_agg(account_id::text, ',' ORDER BY account_id) FROM vault.credential),
               (SELECT string_agg(id::text, ',' ORDER BY id) FROM "connectedAccount"),
               (SELECT string_agg(id::text || visibility, ',' ORDER BY id) FROM "messageChannel"),
               (SELECT string_agg(id::text || visibility, ',' ORDER BY id) FROM "calendarChannel")))"#,
    )
    .fetch_one(stack.pool())
    .await?;
    Ok(digest)
}

/// The visibility of a mailbox; waits until it is connected.
async fn visibility(stack: &Stack, handle: &str, provider: &str) -> anyhow::Result<String> {
    let id = account(stack, provider, handle).await?.id;
    eventually("a message channel", async || {
        Ok(sqlx::query_scalar::<_, String>(
            r#"SELECT visibility::text FROM "messageChannel" WHERE "connectedAccountId" = $1"#,
        )
        .bind(id)
        .fetch_optional(stack.pool())
        .await?)
    })
    .await
}

/// The number of connected accounts with this address.
async fn accounts(stack: &Stack, handle: &str) -> anyhow::Result<String> {
    published(stack).await?;
    let (count,): (i64,) =
        sqlx::query_as(r#"SELECT count(*) FROM "connectedAccount" WHERE handle = $1"#)
            .bind(handle)
            .fetch_one(stack.pool())
            .await?;
    Ok(count.to_string())
}
