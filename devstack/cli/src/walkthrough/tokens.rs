//! What any other service sees: a token over gRPC, always valid.

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

use super::Route;
use crate::Stack;

/// A token as a caller gets it.
pub type Token = AccessToken;

/// Which account is meant.
pub fn selector(account: Uuid) -> AccountSelector {
    AccountSelector {
        selector: Some(Selector::AccountId(account.to_string())),
    }
}

/// The request for a token with this remaining life.
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

/// Asks for a token.
///
/// # Errors
/// refresh-svc's refusal.
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
        .context("GetAccessToken answered no token")
}

/// Says that the provider refused the token of this version, and asks for
/// another.
///
/// # Errors
/// refresh-svc's refusal.
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
        .context("RefreshAccessToken answered no token")
}

/// Disconnects an account; true where the provider confirmed that the grant is gone.
///
/// # Errors
/// refresh-svc's refusal.
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

/// Seconds until the token expires.
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
        "the expired token was answered again"
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
        "a fresh token was refreshed again"
    );
    report("GetAccessToken again → the same token, no further refresh");
    ensure_stranger_refused(stack, account).await?;
    report("another client with a good certificate → refused by the policy: CALLER_NOT_ALLOWED");
    Ok(())
}

/// A certificate alone is not enough: the policy must know its name.
async fn ensure_stranger_refused(stack: &Stack, account: Uuid) -> anyhow::Result<()> {
    let mut stranger = stack.tokens_as_stranger().await?;
    match stranger
        .get_access_token(token_request(account, Duration::from_secs(1)))
        .await
    {
        Ok(_) => anyhow::bail!("a client that the policy does not know was given a token"),
        Err(status) => anyhow::ensure!(
            status.code() == Code::PermissionDenied,
            "a client that the policy does not know was answered {:?}",
            status.code()
        ),
    }
    Ok(())
}

/// Asks the provider's userinfo endpoint with the token.
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
