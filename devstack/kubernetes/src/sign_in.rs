//! One sign-in to a token: the browser's way through auth-svc and the demo provider, the account
//! that sync-svc creates, and tokens of refresh-svc. Each step is checked and printed.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use devstack::browser::{Browser, readable};
use devstack::polling::{BROKER_TIMEOUT, eventually};
use devstack::walkthrough::{
    account_of, authorize_address_at, consent_and_return, get_access_token, refresh_access_token,
    token_request,
};
use latchkey_servers::Progress;
use sqlx::PgPool;
use tonic::Code;
use url::Url;

use crate::services::{DEMO_URL, PUBLIC_URL, Services};

/// The provider whose role the demo provider has.
pub const PROVIDER: &str = "google";
const PERSON: &str = "ada";
const HANDLE: &str = "ada@acme.example";
/// A token remains valid for at least this time.
const MIN_REMAINING: Duration = Duration::from_secs(1);

/// Runs the sign-in and prints a line for each step.
///
/// # Errors
/// A step fails.
pub async fn run(services: &Services, pool: &PgPool, progress: &Progress) -> anyhow::Result<()> {
    let begun = Instant::now();
    let report = |text: &str| {
        let seconds = begun.elapsed().as_secs_f32();
        progress(&format!("  {seconds:>5.1}s  {text}"));
    };
    let mut browser = services.browser()?;
    let landing = sign_in(&mut browser, PERSON).await?;
    let session = browser.cookie_names(&landing).join(", ");
    anyhow::ensure!(!session.is_empty(), "the callback set no session cookie");
    report(&format!(
        "{PERSON} signs in at {DEMO_URL} over TLS, consents, and returns"
    ));
    report(&format!(
        "callback → {} with cookie {session}",
        readable(&landing)
    ));

    let what = format!("a connected account for {HANDLE}");
    let account = eventually(BROKER_TIMEOUT, &what, async || {
        Ok(account_of(pool, PROVIDER, HANDLE).await?.pop())
    })
    .await?;
    anyhow::ensure!(account.has_token, "the account has no token");
    report(&format!("account {} of {HANDLE} with a token", account.id));

    let mut client = services.tokens(&services.client).await?;
    let first = get_access_token(&mut client, account.id, MIN_REMAINING).await?;
    ensure_accepted(services, &first.access_token).await?;
    report(&format!(
        "GetAccessToken → version {}, which the provider accepts",
        first.version
    ));
    let second = refresh_access_token(&mut client, account.id, first.version).await?;
    anyhow::ensure!(
        second.access_token != first.access_token && second.version > first.version,
        "the token was not refreshed"
    );
    ensure_accepted(services, &second.access_token).await?;
    report(&format!(
        "RefreshAccessToken → version {}, which the provider accepts",
        second.version
    ));

    let mut stranger = services.tokens(&services.stranger).await?;
    let refused = stranger
        .get_access_token(token_request(account.id, MIN_REMAINING))
        .await;
    anyhow::ensure!(
        refused.is_err_and(|status| status.code() == Code::PermissionDenied),
        "a client that no policy allows was not refused"
    );
    report("another client with a valid certificate → refused by the policy");
    Ok(())
}

/// Signs a person in and returns where the callback redirects the browser.
///
/// # Errors
/// A step fails.
pub async fn sign_in(browser: &mut Browser, person: &str) -> anyhow::Result<Url> {
    let path = format!("/auth/{PROVIDER}");
    let authorize = authorize_address_at(browser, PUBLIC_URL, &path)
        .await
        .context("the sign-in does not start")?;
    let landing = consent_and_return(browser, authorize, DEMO_URL, person, || {}).await?;
    let target = landing
        .redirect_target()
        .context("the callback was refused")?;
    Ok(target.clone())
}

/// Checks that the provider's userinfo endpoint accepts the token.
async fn ensure_accepted(services: &Services, token: &str) -> anyhow::Result<()> {
    let status = services
        .http()?
        .timeout(Duration::from_secs(10))
        .build()?
        .get(format!("{DEMO_URL}/{PROVIDER}/userinfo"))
        .bearer_auth(token)
        .send()
        .await?
        .status();
    anyhow::ensure!(status.is_success(), "the provider's API answered {status}");
    Ok(())
}
