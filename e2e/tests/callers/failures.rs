//! Each class of failure: the fault, and what the caller makes of it.

use devstack::walkthrough::{Route, refresh_access_token};
use devstack::{Options, ServiceId, Stack};
use latchkey_demo_provider::{Decision, Endpoint, Fault};
use latchkey_e2e::{account, sign_in};
use uuid::Uuid;

use crate::caller::Caller;
use crate::run::{Credentials, Ended, Run};

/// The keys of a cluster that has issued no token.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"k1",
    "x":"EAoHPN2vzvdRuXgm1qpumXGVlXWfIicN3R6upH_MLfU",
    "y":"sCANcFgSWVE2kU5t7Ef0LwFpJeUNTfJdEw3BAzjoz74"}]}"#;

/// A scope that nobody grants.
const UNGRANTED: &str = "https://www.googleapis.com/auth/drive";

/// A stack whose callers have a certificate or the token of a service account.
pub async fn stack() -> anyhow::Result<Stack> {
    let options = Options::test()
        .with("CALLERS_BY", "either")
        .with("CALLER_JWKS", KEYS)
        .with("CALLER_TOKEN_ISSUER", "https://kubernetes.default.svc")
        .with("CALLER_TOKEN_AUDIENCE", "latchkey");
    Stack::start(options).await
}

/// Each account has its own provider, so that the faults of one do not delay another.
pub async fn are_handled(caller: &Caller, stack: &mut Stack) -> anyhow::Result<()> {
    let google = connect(stack, Route::GOOGLE).await?;
    requests(caller, stack, google).await?;
    let microsoft = connect(stack, Route::MICROSOFT).await?;
    provider_down(caller, stack, microsoft).await?;
    let oidc = connect(stack, Route::OIDC).await?;
    wrong_client_secret(caller, stack, oidc).await?;
    service_down(caller, stack, google).await?;
    restart_and_revocation(caller, stack, google).await
}

async fn connect(stack: &Stack, route: Route) -> anyhow::Result<Uuid> {
    sign_in(stack, route.path, &Decision::allow("ada")).await?;
    Ok(account(stack, route.provider, "ada@acme.example").await?.id)
}

/// A token, and the requests that refresh-svc refuses.
async fn requests(caller: &Caller, stack: &Stack, account: Uuid) -> anyhow::Result<()> {
    let id = account.to_string();
    let allowed = &Credentials::Allowed;
    let token = run(caller, stack, allowed, &["get", &id]).await?;
    token.check(0, "version 1 Bearer token of ", "version 1")?;
    let issued = stack.demo().issued();
    token.check_secrecy(issued.iter().map(|one| one.token.as_str()))?;

    let scopes = run(caller, stack, allowed, &["get", &id, UNGRANTED]).await?;
    let grant = format!("→ ask the person to grant {UNGRANTED}");
    scopes.check(1, "SignInAgain INSUFFICIENT_SCOPES", &grant)?;
    let unknown = Uuid::new_v4().to_string();
    run(caller, stack, allowed, &["get", &unknown])
        .await?
        .check(1, "NotFound ACCOUNT_NOT_FOUND", "→ forget")?;
    run(caller, stack, allowed, &["get", "ada"]).await?.check(
        1,
        "InvalidRequest INVALID_REQUEST",
        "→ correct",
    )?;
    run(caller, stack, &Credentials::Stranger, &["get", &id])
        .await?
        .check(1, "NotAllowed CALLER_NOT_ALLOWED", "→ ask the operator")?;
    let token = tempfile::NamedTempFile::new()?;
    std::fs::write(token.path(), "not.a.token\n")?;
    let token = Credentials::Token(token.path().to_owned());
    run(caller, stack, &token, &["get", &id]).await?.check(
        1,
        "NotAllowed CALLER_UNKNOWN",
        "→ ask the operator",
    )
}

/// The caller waits as long as RetryInfo says, and then gets the token.
async fn provider_down(caller: &Caller, stack: &Stack, account: Uuid) -> anyhow::Result<()> {
    stack.demo().inject(refresh_fault().answering(503, ""));
    run(caller, stack, &Credentials::Allowed, &replace(account))
        .await?
        .check(0, "RetryLater PROVIDER_UNAVAILABLE: again in ", "version 2")
}

/// A retry would not help, so the caller ends at once.
async fn wrong_client_secret(caller: &Caller, stack: &Stack, account: Uuid) -> anyhow::Result<()> {
    let answer = r#"{"error":"invalid_client"}"#;
    stack.demo().inject(refresh_fault().answering(401, answer));
    run(caller, stack, &Credentials::Allowed, &replace(account))
        .await?
        .check(
            1,
            "OperatorProblem CLIENT_MISCONFIGURED",
            "→ tell the operator",
        )
}

/// refresh-svc cannot be reached, and then starts again.
async fn service_down(caller: &Caller, stack: &mut Stack, account: Uuid) -> anyhow::Result<()> {
    stack.service(ServiceId::Refresh(0))?.stop();
    let id = account.to_string();
    let mut waiting = Run::start(caller, stack, &Credentials::Allowed, &["get", &id])?;
    waiting.wait_for("RetryLater ").await?;
    stack.service(ServiceId::Refresh(0))?.start().await?;
    waiting.end().await?.check(0, "RetryLater ", "version 1")
}

/// A watch lives longer than refresh-svc, sees a new token, and ends with the grant.
async fn restart_and_revocation(
    caller: &Caller,
    stack: &mut Stack,
    account: Uuid,
) -> anyhow::Result<()> {
    let id = account.to_string();
    let allowed = &Credentials::Allowed;
    let mut watch = Run::start(caller, stack, allowed, &["watch", &id])?;
    watch.wait_for("ACTIVE version 1").await?;
    stack.service(ServiceId::Refresh(0))?.stop();
    stack.service(ServiceId::Refresh(0))?.start().await?;
    watch.wait_for("ACTIVE version 1").await?;

    let mut tokens = stack.tokens(0).await?;
    refresh_access_token(&mut tokens, account, 1).await?;
    watch.wait_for("ACTIVE version 2").await?;

    stack.demo().revoke("ada", Some(Route::GOOGLE.flavour));
    // Callers may force one refresh a minute.
    sqlx::query("UPDATE vault.credential SET forced_at = NULL WHERE account_id = $1")
        .bind(account)
        .execute(stack.pool())
        .await?;
    let refused = refresh_access_token(&mut tokens, account, 2).await;
    anyhow::ensure!(refused.is_err(), "a revoked grant was refreshed");
    watch
        .end()
        .await?
        .check(0, "ACTIVE version 1", "REAUTH_REQUIRED version ")?;
    run(caller, stack, allowed, &["get", &id]).await?.check(
        1,
        "SignInAgain INVALID_REFRESH_TOKEN",
        "→ stop the account's work",
    )
}

async fn run(
    caller: &Caller,
    stack: &Stack,
    credentials: &Credentials,
    arguments: &[impl AsRef<str>],
) -> anyhow::Result<Ended> {
    let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    Run::start(caller, stack, credentials, &arguments)?
        .end()
        .await
}

/// Arguments of a caller whose first token was answered with 401.
fn replace(account: Uuid) -> [String; 3] {
    ["replace".to_owned(), account.to_string(), "1".to_owned()]
}

fn refresh_fault() -> Fault {
    Fault::on(Endpoint::Token).of_grant("refresh_token")
}
