//! Sign-in, refresh and disconnect with identity providers of other authors, from npm and
//! PyPI.

mod journey;
mod provider;

use anyhow::Context as _;
use journey::{Journey, Revoked};
use latchkey_e2e::run;
use provider::Foreign;
use uuid::Uuid;

/// Signs in and refreshes `refreshes` times, which must work at every provider that gives
/// refresh tokens.
async fn signed_in_and_refreshed(
    foreign: Foreign,
    refreshes: usize,
) -> anyhow::Result<(Journey, Uuid)> {
    let journey = Journey::begin(foreign).await?;
    journey.sign_in().await?;
    let account = journey.account().await?.id;
    let mut newest = journey.token(account).await?;
    assert_eq!(journey.accepts(&newest).await?, 200);
    // If refresh tokens rotate, the second refresh works only if the rotated token was
    // stored.
    for _ in 0..refreshes {
        let renewed = journey.refresh(account, newest.version).await?;
        assert_ne!(renewed.access_token, newest.access_token);
        assert!(renewed.version > newest.version);
        assert_eq!(journey.accepts(&renewed).await?, 200);
        newest = renewed;
    }
    Ok((journey, account))
}

/// Disconnects, and returns what happened to the grant at the provider.
async fn disconnected(journey: &Journey, account: Uuid) -> anyhow::Result<Revoked> {
    let revoked = journey.disconnect(account).await?;
    assert!(
        journey.token(account).await.is_err(),
        "a disconnected account has a token"
    );
    Ok(revoked)
}

/// Sign-in, refreshes and disconnect, for a provider without further checks.
fn sign_in_refresh_disconnect(
    foreign: Foreign,
    refreshes: usize,
    expected: Revoked,
) -> anyhow::Result<()> {
    run(async move {
        let (journey, account) = signed_in_and_refreshed(foreign, refreshes).await?;
        assert_eq!(disconnected(&journey, account).await?, expected);
        Ok(())
    })
}

// R3, R5, R30, R31
#[test]
fn a_certified_provider_signs_in_and_refreshes_by_configuration_alone() -> anyhow::Result<()> {
    run(async {
        let (journey, account) = signed_in_and_refreshed(Foreign::OidcProvider, 2).await?;
        // The provider counts refreshes: there are no others than these.
        assert_eq!(journey.text("/refreshes").await?, "2");
        assert_eq!(disconnected(&journey, account).await?, Revoked::AtProvider);
        Ok(())
    })
}

// R51: the provider fetches the keys of the client and accepts an assertion once.
#[test]
fn a_certified_provider_accepts_the_key_of_the_client_in_place_of_a_secret() -> anyhow::Result<()> {
    sign_in_refresh_disconnect(Foreign::OidcProviderByKey, 2, Revoked::AtProvider)
}

// R3
#[test]
fn a_public_client_of_a_mock_server_signs_in_refreshes_and_is_revoked() -> anyhow::Result<()> {
    run(async {
        let (journey, account) = signed_in_and_refreshed(Foreign::MockServer, 2).await?;
        assert_eq!(journey.text("/revocations").await?, "0");
        assert_eq!(disconnected(&journey, account).await?, Revoked::AtProvider);
        assert_ne!(journey.text("/revocations").await?, "0");
        Ok(())
    })
}

// R1
#[test]
fn google_as_others_emulate_it_signs_in_refreshes_and_is_revoked() -> anyhow::Result<()> {
    sign_in_refresh_disconnect(Foreign::Google, 2, Revoked::AtProvider)
}

// R2: Microsoft has no revocation endpoint.
#[test]
fn microsoft_as_others_emulate_it_signs_in_and_refreshes() -> anyhow::Result<()> {
    sign_in_refresh_disconnect(Foreign::Microsoft, 2, Revoked::HereOnly)
}

// R3
#[test]
fn okta_as_others_emulate_it_signs_in_refreshes_and_is_revoked() -> anyhow::Result<()> {
    sign_in_refresh_disconnect(Foreign::Okta, 2, Revoked::AtProvider)
}

// R3: this provider has no refresh tokens, no `profile` and no `offline_access`, and reads
// the client id from the body only.
#[test]
fn a_provider_without_refresh_tokens_signs_in_and_connects_nothing() -> anyhow::Result<()> {
    run(async {
        let journey = Journey::begin(Foreign::Hello).await?;
        journey.sign_in().await?;
        assert!(journey.knows_the_person().await?);
        assert!(journey.accounts().await?.is_empty());
        Ok(())
    })
}

// R3: this provider keeps the refresh token, and has no revocation endpoint.
#[test]
fn a_mock_of_pypi_signs_in_refreshes_and_its_dead_grant_is_shown() -> anyhow::Result<()> {
    run(async {
        let (journey, account) = signed_in_and_refreshed(Foreign::PythonMock, 2).await?;
        let token = journey.token(account).await?;
        journey
            .post("/users/{person}/revoke-tokens")
            .await
            .context("the provider cannot revoke the grants of the person")?;
        assert!(journey.refresh(account, token.version).await.is_err());
        assert_eq!(
            journey.failure(account).await?.as_deref(),
            Some("INVALID_REFRESH_TOKEN")
        );
        // A new sign-in repairs the account.
        journey.sign_in().await?;
        let token = journey.token_again(account).await?;
        assert_eq!(journey.accepts(&token).await?, 200);
        assert_eq!(disconnected(&journey, account).await?, Revoked::HereOnly);
        Ok(())
    })
}

// R3, R31: this provider rotates refresh tokens, and ends a grant whose refresh token is
// used twice. Its revocation endpoint is not announced.
#[test]
fn a_toolkit_that_rotates_strictly_signs_in_and_refreshes() -> anyhow::Result<()> {
    sign_in_refresh_disconnect(Foreign::Django, 3, Revoked::HereOnly)
}
