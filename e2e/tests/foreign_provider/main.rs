//! Against identity providers that nobody here wrote, as they come from the npm
//! registry and from PyPI: sign-in, refresh, disconnect.

mod journey;
mod provider;

use anyhow::Context as _;
use journey::{Journey, Revoked};
use latchkey_e2e::run;
use provider::Foreign;

/// What must hold at every provider that gives refresh tokens; answers the journey
/// for what is special there.
async fn from_sign_in_to_disconnect(
    foreign: Foreign,
    refreshes: usize,
    revoked: Revoked,
) -> anyhow::Result<Journey> {
    let journey = Journey::begin(foreign).await?;
    journey.sign_in().await?;
    let account = journey.account().await?;
    let first = journey.token(account.id).await?;
    assert_eq!(journey.accepts(&first).await?, 200);

    // Where refresh tokens rotate, the second one works only where the rotated one
    // was stored.
    let mut newest = first;
    for _ in 0..refreshes {
        let renewed = journey.refresh(account.id, newest.version).await?;
        assert_ne!(renewed.access_token, newest.access_token);
        assert!(renewed.version > newest.version);
        assert_eq!(journey.accepts(&renewed).await?, 200);
        newest = renewed;
    }

    assert_eq!(journey.disconnect(account.id).await?, revoked);
    assert!(
        journey.token(account.id).await.is_err(),
        "a disconnected account has a token"
    );
    // The way back is a sign-in.
    journey.sign_in().await?;
    let again = journey.account().await?;
    let token = journey.token(again.id).await?;
    assert_eq!(journey.accepts(&token).await?, 200);
    Ok(journey)
}

// R3, R5, R30, R31
#[test]
fn a_certified_provider_of_configuration_alone_signs_in_and_refreshes() -> anyhow::Result<()> {
    run(async {
        let journey =
            from_sign_in_to_disconnect(Foreign::OidcProvider, 2, Revoked::AtProvider).await?;
        // It counts the refreshes that it answered: none but those asked for.
        assert_eq!(journey.text("/refreshes").await?, "2");
        Ok(())
    })
}

// R3
#[test]
fn a_public_client_of_a_mock_server_signs_in_refreshes_and_is_revoked() -> anyhow::Result<()> {
    run(async {
        let journey =
            from_sign_in_to_disconnect(Foreign::MockServer, 2, Revoked::AtProvider).await?;
        assert_ne!(journey.text("/revocations").await?, "0");
        Ok(())
    })
}

// R1
#[test]
fn google_as_others_emulate_it_signs_in_refreshes_and_is_revoked() -> anyhow::Result<()> {
    run(async {
        from_sign_in_to_disconnect(Foreign::Google, 2, Revoked::AtProvider).await?;
        Ok(())
    })
}

// R2: Microsoft has no revocation endpoint.
#[test]
fn microsoft_as_others_emulate_it_signs_in_and_refreshes() -> anyhow::Result<()> {
    run(async {
        from_sign_in_to_disconnect(Foreign::Microsoft, 2, Revoked::HereOnly).await?;
        Ok(())
    })
}

// R3
#[test]
fn okta_as_others_emulate_it_signs_in_refreshes_and_is_revoked() -> anyhow::Result<()> {
    run(async {
        from_sign_in_to_disconnect(Foreign::Okta, 2, Revoked::AtProvider).await?;
        Ok(())
    })
}

// R3: it knows no refresh tokens, no `profile`, no `offline_access`, and takes the
// client's id from the body only.
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

// R3: it keeps the refresh token over refreshes, and has no revocation endpoint.
#[test]
fn a_mock_of_pypi_signs_in_refreshes_and_its_dead_grant_is_told() -> anyhow::Result<()> {
    run(async {
        let journey = from_sign_in_to_disconnect(Foreign::PythonMock, 2, Revoked::HereOnly).await?;
        let account = journey.account().await?;
        let token = journey.token(account.id).await?;
        journey
            .post("/users/{person}/revoke-tokens")
            .await
            .context("it takes back what it gave the person")?;
        assert!(journey.refresh(account.id, token.version).await.is_err());
        assert_eq!(
            journey.failure(account.id).await?.as_deref(),
            Some("INVALID_REFRESH_TOKEN")
        );
        journey.sign_in().await?;
        let token = journey.token(account.id).await?;
        assert_eq!(journey.accepts(&token).await?, 200);
        Ok(())
    })
}

// R3, R31: it rotates refresh tokens and ends the grant of one that comes twice. Its
// revocation endpoint is not announced.
#[test]
fn a_toolkit_that_rotates_strictly_signs_in_and_refreshes() -> anyhow::Result<()> {
    run(async {
        from_sign_in_to_disconnect(Foreign::Django, 3, Revoked::HereOnly).await?;
        Ok(())
    })
}
