//! What other services see: a token over gRPC that is always valid.

use std::time::Duration;

use anyhow::Context as _;
use latchkey_domain::{Clock as _, SystemClock};
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use latchkey_proto::token::{
    AccessToken, AccountSelector, GetAccessTokenRequest, RefreshAccessTokenRequest,
    RevokeAccountRequest,
};
use tonic::Code;
use tonic::transport::Channel;
use uuid::Uuid;

use super::route::Route;
use crate::Stack;

/// An access token in a response of refresh-svc.
pub type Token = AccessToken;

/// Selects an account by its id.
pub fn selector(account: Uuid) -> AccountSelector {
    AccountSelector {
        selector: Some(Selector::AccountId(account.to_string())),
    }
}

/// Returns a request for a token that remains valid for at least this time.
pub fn token_request(account: Uuid, min_remaining: Duration) -> GetAccessTokenRequest {
    GetAccessTokenRequest {
        account: Some(selector(account)),
        min_remaining: Some(prost_types::Duration {
            seconds: i64::try_from(min_remaining.as_secs()).unwrap_or(i64::MAX),
            nanos: 0,
        }),
        required_scopes: Vec::new(),
    }
}

/// Requests a token.
///
/// # Errors
/// refresh-svc refuses the request.
pub async fn get_access_token(
    client: &mut TokenServiceClient<Channel>,
    account: Uuid,
    min_remaining: Duration,
) -> anyhow::Result<Token> {
    client
        .get_access_token(token_request(account, min_remaining))
        .await
        .context("GetAccessToken was refused")?
        .into_inner()
        .token
        .context("the response of GetAccessToken has no token")
}

/// Reports that the provider refused the token of this version, and requests a new one.
///
/// # Errors
/// refresh-svc refuses the request.
pub async fn refresh_access_token(
    client: &mut TokenServiceClient<Channel>,
    account: Uuid,
    refused_version: i64,
) -> anyhow::Result<Token> {
    client
        .refresh_access_token(RefreshAccessTokenRequest {
            account: Some(selector(account)),
            refused_version,
            claims: String::new(),
        })
        .await
        .context("RefreshAccessToken was refused")?
        .into_inner()
        .token
        .context("the response of RefreshAccessToken has no token")
}

/// Disconnects an account. Returns `true` if the provider confirmed the revocation of the
/// grant.
///
/// # Errors
/// refresh-svc refuses the request.
pub async fn revoke_account(
    client: &mut TokenServiceClient<Channel>,
    account: Uuid,
) -> anyhow::Result<bool> {
    let request = RevokeAccountRequest {
        account: Some(selector(account)),
    };
    let answer = client
        .revoke_account(request)
        .await
        .context("RevokeAccount was refused")?;
    Ok(answer.into_inner().revoked_at_provider)
}

/// Returns the seconds until the token expires.
fn remaining(token: &Token) -> anyhow::Result<i64> {
    let expires_at = token
        .expires_at
        .as_ref()
        .context("the token has no expiry")?;
    Ok(expires_at.seconds - SystemClock.now().unix_timestamp())
}

pub(super) async fn check(
    stack: &Stack,
    route: Route,
    account: Uuid,
    report: &impl Fn(&str),
) -> anyhow::Result<()> {
    let second = Duration::from_secs(1);
    let mut client = stack.tokens(0).await?;
    let refreshes = || stack.demo().refreshes(route.flavour);

    let before = refreshes();
    let first = get_access_token(&mut client, account, second).await?;
    let left = remaining(&first)?;
    report(&format!(
        "GetAccessToken → version {}, {left} s left, refreshes at the provider: {}",
        first.version,
        refreshes() - before
    ));
    anyhow::ensure!(
        refreshes() == before,
        "the first token was refreshed although it had not expired"
    );
    ensure_accepted(stack, route, &first).await?;
    report("the provider's API accepts it");

    report(&format!("waiting {} s for it to expire", left.max(0)));
    let left = u64::try_from(remaining(&first)?).unwrap_or(0);
    tokio::time::sleep(Duration::from_secs(left + 1)).await;
    let second_token = get_access_token(&mut client, account, second).await?;
    report(&format!(
        "GetAccessToken → version {}, {} s left, refreshes at the provider: {}",
        second_token.version,
        remaining(&second_token)?,
        refreshes() - before
    ));
    anyhow::ensure!(
        second_token.access_token != first.access_token,
        "the expired token was returned again"
    );
    anyhow::ensure!(
        refreshes() == before + 1,
        "the provider saw {} refreshes",
        refreshes() - before
    );
    ensure_accepted(stack, route, &second_token).await?;
    report("the provider's API accepts it");

    let third = get_access_token(&mut client, account, second).await?;
    anyhow::ensure!(
        third.access_token == second_token.access_token && refreshes() == before + 1,
        "a valid token was refreshed"
    );
    report("GetAccessToken again → the same token, no further refresh");
    ensure_stranger_refused(stack, account).await?;
    report("another client with a valid certificate → refused by the policy: CALLER_NOT_ALLOWED");
    Ok(())
}

/// A valid certificate is not enough: a policy must allow its name.
async fn ensure_stranger_refused(stack: &Stack, account: Uuid) -> anyhow::Result<()> {
    let mut stranger = stack.tokens_as_stranger().await?;
    match stranger
        .get_access_token(token_request(account, Duration::from_secs(1)))
        .await
    {
        Ok(_) => anyhow::bail!("a client that no policy allows got a token"),
        Err(status) => anyhow::ensure!(
            status.code() == Code::PermissionDenied,
            "a client that no policy allows got {:?}",
            status.code()
        ),
    }
    Ok(())
}

/// Checks that the provider's userinfo endpoint accepts the token.
async fn ensure_accepted(stack: &Stack, route: Route, token: &Token) -> anyhow::Result<()> {
    let path = match route.flavour {
        latchkey_demo_provider::Flavour::Microsoft => "graph/common/userinfo".to_owned(),
        flavour => format!("{}/userinfo", flavour.name()),
    };
    let status = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .build()?
        .get(format!("{}/{path}", stack.demo().base_url()))
        .bearer_auth(&token.access_token)
        .send()
        .await?
        .status();
    anyhow::ensure!(status.is_success(), "the provider's API answered {status}");
    Ok(())
}
