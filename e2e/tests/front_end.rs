//! Front ends with session.js in Chromium: nothing starts more than one sign-in without
//! an action of the person, and tabs, people and hand-overs do not affect each other.
//!
//! `STEP=<part of a name>` runs some of the steps; `SESSION_JS=<file>` replaces the
//! script that auth-svc serves.

use std::path::Path;

use devstack::{Options, Stack};
use latchkey_e2e::{packages, run, script};
use latchkey_servers::{Package, ensure_installed, free_port, silent};

// R8, R9, R10, R11
#[test]
fn no_front_end_loops_through_the_sign_in() -> anyhow::Result<()> {
    run(async {
        ensure_installed(&[Package::Chromium], &silent())?;
        let place = packages::install_npm("browser")?;
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
        let mut command = script::node(&place, "front-end.mjs", &stack);
        command
            .env("FRONT_PORT", port.to_string())
            .env("DOCUMENTATION", documentation)
            .env("AS_TYPED", as_typed);
        script::run(command, async |command| {
            anyhow::bail!("unknown command: {command}")
        })
        .await
    })
}
