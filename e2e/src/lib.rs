//! Helpers of the end-to-end tests: a stack with all services, started once per file.

pub mod exposition;
pub mod packages;
pub mod script;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use anyhow::Context as _;
use devstack::browser::Browser;
use devstack::build::binary;
use devstack::walkthrough::{self, Account, SignIn};
use devstack::{Options, Stack};
use latchkey_demo_provider::Decision;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// Time limit of anything that depends on the broker, on a busy machine.
pub const EVENT_TIMEOUT: Duration = Duration::from_mins(1);

/// One runtime for all tests of a file, because connections belong to their runtime.
#[expect(clippy::expect_used, reason = "no test can run without it")]
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("no runtime")
});

static SHARED: Mutex<Weak<Stack>> = Mutex::const_new(Weak::new());

/// Runs a test.
///
/// # Errors
/// The test fails.
pub fn run(test: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    RUNTIME.block_on(test)
}

/// The stack that the tests of a file share. It stops after the last test.
///
/// # Errors
/// The stack does not start.
pub async fn shared() -> anyhow::Result<Arc<Stack>> {
    shared_with(|| Ok(Options::test())).await
}

/// The same with other options. All tests of a file must give the same options, because
/// they share one stack.
///
/// # Errors
/// The stack does not start.
pub async fn shared_with(
    options: impl FnOnce() -> anyhow::Result<Options>,
) -> anyhow::Result<Arc<Stack>> {
    let mut shared = SHARED.lock().await;
    if let Some(stack) = shared.upgrade() {
        return Ok(stack);
    }
    let stack = Arc::new(Stack::start(options()?).await?);
    *shared = Arc::downgrade(&stack);
    Ok(stack)
}

/// Signs in with a new browser; the sign-in must end in the app.
///
/// # Errors
/// A step has another result.
pub async fn sign_in(stack: &Stack, path: &str, decision: &Decision) -> anyhow::Result<SignIn> {
    let mut browser = Browser::new()?;
    let done = walkthrough::sign_in(&mut browser, stack, path, decision).await?;
    let app = done
        .landing
        .redirect_target()
        .context("the callback was refused")?;
    anyhow::ensure!(
        app.as_str().starts_with(stack.public_url()),
        "sent to {app} instead of the app"
    );
    Ok(done)
}

/// Waits for the only account of a handle.
///
/// # Errors
/// No account appears in time, or more than one.
pub async fn account(stack: &Stack, provider: &str, handle: &str) -> anyhow::Result<Account> {
    eventually(&format!("an account of {handle}"), async || {
        let mut accounts = walkthrough::account_of(stack.pool(), provider, handle).await?;
        anyhow::ensure!(accounts.len() <= 1, "{} accounts", accounts.len());
        Ok(accounts.pop())
    })
    .await
}

/// Calls `ask` repeatedly until it returns a value.
///
/// # Errors
/// It returns no value in time, or fails.
pub async fn eventually<T>(
    what: &str,
    ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    devstack::polling::eventually(EVENT_TIMEOUT, what, ask).await
}

/// Runs `<program> keys generate` and returns the variables that it prints.
///
/// # Errors
/// The command fails.
pub fn generate_keys(program: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let output = Command::new(binary(program)?)
        .args(["keys", "generate"])
        .output()?;
    anyhow::ensure!(output.status.success(), "{program} generates no keys");
    let text = String::from_utf8(output.stdout)?;
    let variables = text.lines().filter_map(|line| line.split_once('='));
    let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(owned.collect())
}
