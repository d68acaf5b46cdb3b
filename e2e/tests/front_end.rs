//! Front ends with session.js in Chromium: no cause of a redirect loop leaves a
//! page twice without a person, and tabs, persons and hand-overs are kept apart.
//!
//! `STEP=<part of a name>` runs some steps; `SESSION_JS=<file>` runs them with
//! another script than the one that is served.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use devstack::{Options, Stack};
use latchkey_e2e::{node, run};
use latchkey_servers::{Package, ensure_installed, free_port, silent};
use tokio::process::Command;

/// All steps, on a machine that is busy with other things.
const LONGEST: Duration = Duration::from_mins(5);

// R8, R9, R10, R11
#[test]
fn no_front_end_is_sent_round_twice_without_a_person() -> anyhow::Result<()> {
    run(async {
        ensure_installed(&[Package::Chromium], &silent())?;
        let place = node::install("browser")?;
        let port = free_port()?;
        let origins = format!("http://localhost:{port},http://app.localhost:{port}");
        let stack = Stack::start(
            Options::test()
                .with("ALLOWED_RETURN_ORIGINS", origins)
                .with("TOKEN_PAIR_COOKIE_ENABLED", "true")
                // Everybody in these steps has the same address.
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
        let status = tokio::time::timeout(LONGEST, child.wait())
            .await
            .context("the steps took too long")??;
        anyhow::ensure!(status.success(), "a step did not hold");
        Ok(())
    })
}
