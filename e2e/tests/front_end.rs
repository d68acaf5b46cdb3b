//! Front ends with session.js in Chromium: nothing starts more than one sign-in without
//! an action of the person, and tabs, people and hand-overs do not affect each other.
//!
//! `STEP=<part of a name>` runs some of the steps; `SESSION_JS=<file>` replaces the
//! script that auth-svc serves.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use devstack::{Options, Stack};
use latchkey_e2e::{node, run};
use latchkey_servers::{Package, ensure_installed, free_port, silent};
use tokio::process::Command;

/// Time limit of all steps on a busy machine.
const TIME_LIMIT: Duration = Duration::from_mins(5);

// R8, R9, R10, R11
#[test]
fn no_front_end_loops_through_the_sign_in() -> anyhow::Result<()> {
    run(async {
        ensure_installed(&[Package::Chromium], &silent())?;
        let place = node::install("browser")?;
        let port = free_port()?;
        let origins = format!("http://localhost:{port},http://app.localhost:{port}");
        let stack = Stack::start(
            Options::test()
                .with("ALLOWED_RETURN_ORIGINS", origins)
                .with("TOKEN_PAIR_COOKIE_ENABLED", "true")
                // All requests come from the same address.
                .with("RATE_LIMIT_PER_ADDRESS", "0"),
        )
        .await?;
        let documentation = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/session-js.md");
        let as_typed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/as-typed.md");
        let mut child = Command::new("node")
            .arg("front-end.mjs")
            .args(std::env::var("STEP").ok())
            .current_dir(place)
            .env("PUBLIC_URL", stack.public_url())
            .env("DEMO_URL", stack.demo().base_url())
            .env("FRONT_PORT", port.to_string())
            .env("DOCUMENTATION", documentation)
            .env("AS_TYPED", as_typed)
            .kill_on_drop(true)
            .spawn()
            .context("cannot run node")?;
        let status = tokio::time::timeout(TIME_LIMIT, child.wait())
            .await
            .context("the steps took too long")??;
        anyhow::ensure!(status.success(), "a step failed");
        Ok(())
    })
}
