//! What an operator types, as they type it.

use std::process::Command;

use anyhow::Context as _;
use latchkey_demo_provider::Decision;
use latchkey_e2e::{account, run, shared, sign_in};
use latchkey_servers::{Need, ensure_installed, silent};
use sqlx::Row as _;

// R25
#[test]
fn the_troubleshooting_queries_run_as_they_stand() -> anyhow::Result<()> {
    run(async {
        let stack = shared().await?;
        sign_in(&stack, "/auth/google", &Decision::allow("ada")).await?;
        account(&stack, "google", "ada@acme.example").await?;

        let rows = sqlx::query(
            r#"SELECT id, handle, provider, "accessToken" IS NOT NULL FROM "connectedAccount" WHERE handle = $1"#,
        )
        .bind("ada@acme.example")
        .fetch_all(stack.pool())
        .await?;
        assert_eq!(rows.len(), 1);
        let row = rows.first().unwrap();
        assert_eq!(row.get::<String, _>("provider"), "google");
        assert!(row.get::<bool, _>(3));

        let channels = sqlx::query(
            r#"SELECT id, "syncStatus" FROM "messageChannel" WHERE "connectedAccountId" = $1"#,
        )
        .bind(row.get::<uuid::Uuid, _>("id"))
        .fetch_all(stack.pool())
        .await?;
        assert_eq!(channels.len(), 1);
        Ok(())
    })
}

// R25
#[test]
fn no_view_gives_a_token_in_clear() -> anyhow::Result<()> {
    run(async {
        let stack = shared().await?;
        sign_in(&stack, "/auth/google", &Decision::allow("grace")).await?;
        account(&stack, "google", "grace@acme.example").await?;
        let rows: Vec<String> =
            sqlx::query_scalar(r#"SELECT to_json(a)::text FROM "connectedAccount" a"#)
                .fetch_all(stack.pool())
                .await?;
        let text = rows.join("\n");
        for issued in stack.demo().issued() {
            assert!(
                !text.contains(&issued.token),
                "a view shows a {}",
                issued.kind
            );
        }
        Ok(())
    })
}

// R1
#[test]
fn curl_shows_the_location_of_the_entry_point() -> anyhow::Result<()> {
    run(async {
        ensure_installed(&[Need::Curl], &silent())?;
        let stack = shared().await?;
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "curl -v {}/auth/google 2>&1 | grep -i location",
                stack.public_url()
            ))
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        // `grep` shows the permissions policy too: it speaks of geolocation.
        let location = text
            .lines()
            .find_map(|line| line.strip_prefix("< location: "))
            .context(text.clone())?;
        let authorize = format!("{}/google/authorize?", stack.demo().base_url());
        assert!(location.starts_with(&authorize), "{location}");
        assert!(location.contains(stack.demo().client_id()), "{location}");
        Ok(())
    })
}

// R7, R25
#[test]
fn a_workspace_metadata_row_is_the_allowlist() -> anyhow::Result<()> {
    run(async {
        let stack = shared().await?;
        let mut browser = devstack::browser::Browser::new()?;
        let eve = Decision::allow("linus");
        let refused = devstack::trail::sign_in(&mut browser, &stack, "/auth/google", &eve).await?;
        assert!(refused.landing.location.is_none());

        sqlx::query(
            r#"INSERT INTO "workspaceMetadata" (key, value)
               VALUES ('approvedAccessDomains', '["acme.example","globex.example"]')"#,
        )
        .execute(stack.pool())
        .await?;
        sign_in(&stack, "/auth/google", &eve).await?;
        account(&stack, "google", "linus@globex.example").await?;
        Ok(())
    })
}
