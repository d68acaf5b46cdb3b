//! A database is restored from a backup after all servers of a stack were lost. With the same keys,
//! sessions and tokens remain valid. Without the sealing key, the services report what is missing,
//! and no grant is lost.

mod restored;

use std::time::Duration;

use anyhow::Context as _;
use devstack::browser::Browser;
use devstack::build::binary;
use devstack::walkthrough::{
    self, Route, Token, account_of, authorize_address, get_access_token, refresh_access_token,
    token_request,
};
use devstack::{ServiceId, Stack};
use latchkey_demo_provider::{Decision, Flavour};
use latchkey_e2e::{account, eventually, generate_keys, run, sign_in};
use serde_json::{Value, json};
use sqlx::PgPool;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use url::Url;
use uuid::Uuid;

const ADA: &str = "ada@acme.example";
const GRACE: &str = "grace@acme.example";

const SESSION_COOKIE: &str = "__Host-latchkey-session";

/// Least remaining life of the tokens that are requested.
const MIN_REMAINING: Duration = Duration::from_mins(1);

const REFRESH: ServiceId = ServiceId::Refresh(0);

/// What a person had before the servers were lost.
struct Ada {
    browser: Browser,
    session: Value,
    access_token: String,
    /// The account at a provider that keeps refresh tokens.
    keeping: Uuid,
    /// The account at a provider that accepts each refresh token once.
    rotating: Uuid,
}

impl Ada {
    async fn sign_in(stack: &Stack) -> anyhow::Result<Self> {
        let mut browser = Browser::new()?;
        let ada = Decision::allow("ada");
        let google = walkthrough::sign_in(&mut browser, stack, Route::GOOGLE.path, &ada).await?;
        google.landing.redirect_target()?;
        sign_in(stack, Route::OIDC.path, &ada).await?;
        Ok(Self {
            session: session(&mut browser, stack).await?,
            access_token: access_token(&browser, stack).await?,
            browser,
            keeping: account(stack, Route::GOOGLE.provider, ADA).await?.id,
            rotating: account(stack, Route::OIDC.provider, ADA).await?.id,
        })
    }

    /// Checks that the cookie and the access token of before are accepted.
    async fn check_session(&mut self, stack: &Stack) -> anyhow::Result<()> {
        assert_eq!(session(&mut self.browser, stack).await?, self.session);
        let me = http()?.get(format!("{}/auth/me", stack.public_url()));
        let answer = me.bearer_auth(&self.access_token).send().await?;
        assert_eq!(answer.status(), 200);
        Ok(())
    }
}

fn http() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()
}

/// The id of the browser's session.
async fn session(browser: &mut Browser, stack: &Stack) -> anyhow::Result<Value> {
    let page = browser
        .get(format!("{}/auth/me", stack.public_url()))
        .await?;
    anyhow::ensure!(page.status == 200, "{}: {}", page.status, page.body);
    let me: Value = serde_json::from_str(&page.body)?;
    anyhow::ensure!(me["sessionId"].is_string(), "{me}");
    Ok(me["sessionId"].clone())
}

/// An access token of the browser's session, as a front end gets it.
async fn access_token(browser: &Browser, stack: &Stack) -> anyhow::Result<String> {
    let url = Url::parse(stack.public_url())?.join("/auth/token")?;
    let cookie = browser.cookie(&url, SESSION_COOKIE);
    let cookie = cookie.context("the browser has no session")?;
    let answer = http()?
        .post(url)
        .header("Cookie", format!("{SESSION_COOKIE}={cookie}"))
        .json(&json!({ "grantType": "cookie" }))
        .send()
        .await?
        .error_for_status()?;
    let answer: Value = answer.json().await?;
    let token = answer["accessToken"]["token"].as_str();
    Ok(token.context("no access token")?.to_owned())
}

async fn token(stack: &Stack, account: Uuid) -> anyhow::Result<Token> {
    get_access_token(&mut stack.tokens(0).await?, account, MIN_REMAINING).await
}

async fn refresh(stack: &Stack, refused: &Token, account: Uuid) -> anyhow::Result<Token> {
    refresh_access_token(&mut stack.tokens(0).await?, account, refused.version).await
}

/// Requests a token that refresh-svc must refuse.
async fn refusal(stack: &Stack, account: Uuid) -> anyhow::Result<Status> {
    let mut tokens = stack.tokens(0).await?;
    let answer = tokens
        .get_access_token(token_request(account, MIN_REMAINING))
        .await;
    answer.err().context("a token was given")
}

fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// Lets the access token of an account expire, before refresh-svc has read it.
async fn expire(database: &PgPool, account: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE vault.credential SET access_token_expires_at = now() WHERE account_id = $1",
    )
    .bind(account)
    .execute(database)
    .await?;
    Ok(())
}

/// What is stored of every grant, except its lease.
async fn grants(database: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT to_jsonb(stored)::text
         FROM (SELECT account_id, version, sealed_access_token, sealed_refresh_token,
                      access_token_expires_at, granted_scopes, failure_class, failure_count,
                      retry_after, auth_failed_at, erased_at
               FROM vault.credential) AS stored
         ORDER BY account_id",
    )
    .fetch_all(database)
    .await
}

/// A variable of refresh-svc.
fn variable(stack: &mut Stack, name: &str) -> anyhow::Result<String> {
    Ok(stack.service(REFRESH)?.variable(name)?.to_owned())
}

/// Waits for a line in the log of refresh-svc.
async fn logged(
    stack: &mut Stack,
    message: &str,
    is_wanted: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    eventually(message, async || {
        let lines = restored::logged(stack, REFRESH, message)?;
        Ok(lines.into_iter().find(|line| is_wanted(line)))
    })
    .await
}

// R14, R30, R31
#[test]
fn after_a_restore_with_the_same_keys_sessions_and_tokens_go_on() -> anyhow::Result<()> {
    run(async {
        let (empty, mut stack) = restored::start().await?;
        let mut ada = Ada::sign_in(&stack).await?;
        let kept = token(&stack, ada.keeping).await?;
        let first = token(&stack, ada.rotating).await?;
        let rotated = refresh(&stack, &first, ada.rotating).await?;
        // A sign-in that is at the provider meanwhile.
        let mut grace = Browser::new()?;
        let authorize = authorize_address(&mut grace, &stack, Route::GOOGLE.path).await?;
        let dump = restored::save(&stack).await?;

        let database = restored::replace_servers(&mut stack, &empty, &dump).await?;
        expire(&database, ada.rotating).await?;
        restored::start_services(&mut stack).await?;

        ada.check_session(&stack).await?;
        let given = token(&stack, ada.keeping).await?;
        assert_eq!(given.access_token, kept.access_token);
        assert_eq!(stack.demo().refreshes(Flavour::Google), 0);
        // The provider accepts only the refresh token that it issued last.
        let renewed = token(&stack, ada.rotating).await?;
        assert_eq!(renewed.version, rotated.version + 1);
        assert_ne!(renewed.access_token, rotated.access_token);
        assert_eq!(stack.demo().refreshes(Flavour::Oidc), 2);

        let allow = Decision::allow("grace");
        let callback = stack.demo().decide(authorize.as_str(), &allow).await?;
        grace.get(callback).await?.redirect_target()?;
        session(&mut grace, &stack).await?;
        let connected = eventually("an account of a new sign-in", async || {
            let mut accounts = account_of(&database, Route::GOOGLE.provider, GRACE).await?;
            Ok(accounts.pop())
        })
        .await?;
        token(&stack, connected.id).await?;
        Ok(())
    })
}

// R14, R32, R35
#[test]
fn after_a_restore_without_the_sealing_key_the_operator_is_told_and_no_grant_is_lost()
-> anyhow::Result<()> {
    run(async {
        let (empty, mut stack) = restored::start().await?;
        let mut ada = Ada::sign_in(&stack).await?;
        let accounts = [ada.keeping, ada.rotating];
        let mut before = Vec::new();
        for account in accounts {
            before.push(token(&stack, account).await?);
        }
        let dump = restored::save(&stack).await?;

        let database = restored::replace_servers(&mut stack, &empty, &dump).await?;
        let saved = grants(&database).await?;
        let lost_key: String =
            sqlx::query_scalar("SELECT DISTINCT refresh_token_key_id FROM vault.credential")
                .fetch_one(&database)
                .await?;
        let lost = variable(&mut stack, "SEALING_PRIVATE_KEYS")?;
        let other = generate_keys("refresh-svc")?;
        let sealing = &other["SEALING_PUBLIC_KEY"];
        let opening = &other["SEALING_PRIVATE_KEYS"];
        let auth_svc = stack.service(ServiceId::Auth)?;
        auth_svc.set("SEALING_PUBLIC_KEY", sealing);
        stack.service(REFRESH)?.set("SEALING_PRIVATE_KEYS", opening);
        restored::start_services(&mut stack).await?;

        ada.check_session(&stack).await?;
        let cause = format!("sealed to key {lost_key}, which is not in SEALING_PRIVATE_KEYS");
        for account in accounts {
            let refused = refusal(&stack, account).await?;
            assert_eq!(refused.code(), Code::Internal);
            assert_eq!(reason(&refused).as_deref(), Some("UNSEAL_FAILED"));
            assert_eq!(
                refused.message(),
                "the stored grant cannot be opened: the operator must act"
            );
            assert!(refused.get_details_retry_info().is_none());
            let account = account.to_string();
            let line = logged(
                &mut stack,
                "a stored refresh token cannot be opened",
                |line| line["account.id"] == account.as_str(),
            )
            .await?;
            assert_eq!(line["level"], "ERROR");
            assert_eq!(line["error"], cause.as_str());
        }
        let line = logged(
            &mut stack,
            "no key opens some stored grants: see `refresh-svc keys status`",
            |_| true,
        )
        .await?;
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["accounts"], accounts.len());
        let status = tokio::process::Command::new(binary("refresh-svc")?)
            .args(["keys", "status"])
            .env_clear()
            .envs(stack.service(REFRESH)?.environment())
            .output()
            .await?;
        assert_eq!(status.status.code(), Some(1));
        let listed = String::from_utf8(status.stdout)?;
        for account in accounts {
            assert!(listed.contains(&format!("account {account} ")), "{listed}");
        }
        assert_eq!(grants(&database).await?, saved);
        for flavour in [Flavour::Google, Flavour::Oidc] {
            assert_eq!(stack.demo().refreshes(flavour), 0);
        }

        // The key is found, and added as docs/runbook.md says.
        let refresh_svc = stack.service(REFRESH)?;
        refresh_svc.stop();
        refresh_svc.set("SEALING_PRIVATE_KEYS", format!("{opening},{lost}"));
        refresh_svc.start().await?;
        for (account, before) in accounts.into_iter().zip(&before) {
            let given = token(&stack, account).await?;
            assert_eq!(given.access_token, before.access_token);
            let renewed = refresh(&stack, &given, account).await?;
            assert_eq!(renewed.version, given.version + 1);
        }
        Ok(())
    })
}

// R22, R32, R34
#[test]
fn a_refresh_token_that_was_rotated_after_the_backup_needs_a_new_sign_in() -> anyhow::Result<()> {
    run(async {
        let (empty, mut stack) = restored::start().await?;
        let ada = Ada::sign_in(&stack).await?;
        let dump = restored::save(&stack).await?;
        for account in [ada.keeping, ada.rotating] {
            let first = token(&stack, account).await?;
            refresh(&stack, &first, account).await?;
        }

        let database = restored::replace_servers(&mut stack, &empty, &dump).await?;
        expire(&database, ada.keeping).await?;
        expire(&database, ada.rotating).await?;
        restored::start_services(&mut stack).await?;

        token(&stack, ada.keeping).await?;
        let refused = refusal(&stack, ada.rotating).await?;
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(reason(&refused).as_deref(), Some("INVALID_REFRESH_TOKEN"));

        sign_in(&stack, Route::OIDC.path, &Decision::allow("ada")).await?;
        eventually("a token of the new sign-in", async || {
            Ok(token(&stack, ada.rotating).await.ok())
        })
        .await?;
        Ok(())
    })
}
