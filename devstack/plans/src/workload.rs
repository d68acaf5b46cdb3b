//! What people and services do during a measurement.

use std::ops::Range;
use std::time::Duration;

use anyhow::Context as _;
use devstack::Stack;
use devstack::browser::Browser;
use devstack::polling::{BROKER_TIMEOUT, eventually};
use devstack::walkthrough::{
    Route, get_access_token, refresh_access_token, revoke_account, sign_in, sign_in_to,
};
use latchkey_demo_provider::{Decision, Flavour};
use latchkey_domain::{Clock as _, SystemClock};
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use url::{Url, form_urlencoded};
use uuid::Uuid;

/// Pages of a person who is signed in.
const PAGES: [&str; 3] = [
    "/auth/me",
    "/auth/account/connections",
    "/auth/account/sessions",
];
/// Calls of refresh-svc for each person.
const CALLS: i64 = 3;
/// The path that ends sessions at the request of the strict provider.
const LOGOUT: &str = "/auth/oidc/demo/backchannel-logout";

/// Lets people with these numbers sign in at two providers, open pages, use and disconnect their
/// accounts, and sign out; waits until all events are handled.
pub(crate) async fn run(stack: &Stack, people: Range<usize>) -> anyhow::Result<()> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(BROKER_TIMEOUT)
        .build()?;
    let names: Vec<String> = people.map(|number| format!("person{number}")).collect();
    stack.demo().add_people(&names);
    let begin: f64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
        .fetch_one(stack.pool())
        .await?;
    for name in &names {
        use_account(stack, &http, name).await?;
        end_sessions_at_the_provider(stack, name).await?;
        find_workspace(stack, name).await?;
    }
    // The last call of the last person is one of refresh-svc, whose records come in batches.
    let calls = i64::try_from(names.len())? * CALLS;
    eventually(BROKER_TIMEOUT, "handled events", async || {
        let is_written = audit_records(stack, begin).await? >= calls;
        Ok((is_written && waiting_events(stack).await? == 0).then_some(()))
    })
    .await
}

/// Deletes what is old, as the services do periodically.
pub(crate) async fn clean_up(auth: &PgPool, sync: &PgPool) -> anyhow::Result<()> {
    let now = SystemClock.now();
    auth_svc::store::cleanup::sweep(auth).await?;
    sync_svc::sweep::run_once(sync, now).await?;
    sync_svc::cleanup::run_once(sync).await?;
    Ok(())
}

/// Signs in twice, uses the account and disconnects it.
async fn use_account(stack: &Stack, http: &reqwest::Client, name: &str) -> anyhow::Result<()> {
    let decision = Decision::allow(name);
    let mut browser = Browser::new()?;
    signed_in(&mut browser, stack, Route::GOOGLE, &decision).await?;
    let account = account(stack, Route::GOOGLE, name).await?;

    let mut tokens = stack.tokens(0).await?;
    let token = get_access_token(&mut tokens, account, Duration::from_mins(1)).await?;
    refresh_access_token(&mut tokens, account, token.version).await?;

    let public = stack.public_url();
    for path in PAGES {
        let page = browser.get(format!("{public}{path}")).await?;
        anyhow::ensure!(page.status == 200, "{path} answered {}", page.status);
    }
    renew_session(&browser, stack, http).await?;
    let mut later = Browser::new()?;
    signed_in(&mut later, stack, Route::GOOGLE, &decision).await?;
    revoke_account(&mut tokens, account).await?;
    let ended = browser.post(format!("{public}/auth/sign-out"), &[]).await?;
    anyhow::ensure!(ended.status < 400, "sign-out answered {}", ended.status);
    Ok(())
}

/// Exchanges the refresh token of a front end.
async fn renew_session(
    browser: &Browser,
    stack: &Stack,
    http: &reqwest::Client,
) -> anyhow::Result<()> {
    let public = stack.public_url();
    let pair = browser.cookie(&Url::parse(public)?, "tokenPair");
    let pair = format!("pair={}", pair.context("there is no token pair")?);
    let pair = form_urlencoded::parse(pair.as_bytes()).next();
    let pair: Value = serde_json::from_str(&pair.context("there is no token pair")?.1)?;
    let request = json!({
        "grantType": "refresh_token", "refreshToken": pair["refreshToken"]["token"]
    });
    http.post(format!("{public}/auth/token"))
        .header("Origin", public)
        .json(&request)
        .send()
        .await?
        .error_for_status()
        .context("the session is not renewed")?;
    Ok(())
}

/// Signs in at the strict provider twice, and lets the provider end the sessions: the first by its
/// id there, the second as one of the person's.
async fn end_sessions_at_the_provider(stack: &Stack, name: &str) -> anyhow::Result<()> {
    let session = format!("session of {name}");
    let decision = Decision::allow(name);
    stack
        .demo()
        .set_claims(name, claims(&json!({ "sid": session })));
    signed_in(&mut Browser::new()?, stack, Route::OIDC, &decision).await?;
    account(stack, Route::OIDC, name).await?;
    log_out(stack, &json!({ "sid": session })).await?;
    let subject: String =
        sqlx::query_scalar("SELECT subject FROM auth.identity WHERE provider = $1 AND email = $2")
            .bind(Route::OIDC.provider)
            .bind(address(name))
            .fetch_one(stack.pool())
            .await?;
    // The provider has ended the first session.
    let another = claims(&json!({ "sid": format!("another {session}") }));
    stack.demo().set_claims(name, another);
    signed_in(&mut Browser::new()?, stack, Route::OIDC, &decision).await?;
    log_out(stack, &json!({ "sub": subject })).await
}

/// Signs in for the first time, at a page that names no workspace: it is found by the domain.
async fn find_workspace(stack: &Stack, name: &str) -> anyhow::Result<()> {
    let decision = Decision::allow(name);
    let mut browser = Browser::new()?;
    let done = sign_in(&mut browser, stack, Route::MICROSOFT.path, &decision).await?;
    let landing = done.landing.redirect_target();
    landing.context("the callback was refused").map(|_| ())
}

async fn log_out(stack: &Stack, logged_out: &Value) -> anyhow::Result<()> {
    let token = stack
        .demo()
        .logout_token(Flavour::Oidc, &claims(logged_out))?;
    let answer = Browser::new()?
        .post(
            format!("{}{LOGOUT}", stack.public_url()),
            &[("logout_token", token.as_str())],
        )
        .await?;
    anyhow::ensure!(answer.status == 200, "{LOGOUT} answered {}", answer.body);
    Ok(())
}

fn claims(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

async fn signed_in(
    browser: &mut Browser,
    stack: &Stack,
    route: Route,
    decision: &Decision,
) -> anyhow::Result<()> {
    let workspace = stack.database().workspace_id();
    let done = sign_in_to(browser, stack, workspace, route.path, decision).await?;
    done.landing
        .redirect_target()
        .context("the callback was refused")?;
    Ok(())
}

fn address(name: &str) -> String {
    format!("{name}@acme.example")
}

/// Waits for the account of a person.
async fn account(stack: &Stack, route: Route, name: &str) -> anyhow::Result<Uuid> {
    eventually(BROKER_TIMEOUT, "an account", async || {
        Ok(sqlx::query_scalar(
            "SELECT a.id FROM sync.connected_account a
             JOIN vault.credential c ON c.account_id = a.id
             WHERE a.workspace_id = $1 AND a.provider = $2 AND lower(a.handle) = $3",
        )
        .bind(stack.database().workspace_id())
        .bind(route.provider)
        .bind(address(name))
        .fetch_optional(stack.pool())
        .await?)
    })
    .await
}

async fn waiting_events(stack: &Stack) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM auth.outbox) + (SELECT count(*) FROM sync.outbox)
              + (SELECT count(*) FROM vault.outbox)",
    )
    .fetch_one(stack.pool())
    .await
}

/// Records that refresh-svc has written since this time, in seconds since 1970.
async fn audit_records(stack: &Stack, begin: f64) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM vault.audit WHERE at > to_timestamp($1)")
        .bind(begin)
        .fetch_one(stack.pool())
        .await
}
