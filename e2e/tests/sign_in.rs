//! One sign-in for each provider: from HTTP, as a browser sends it, to a token over gRPC.

use std::time::Duration;

use anyhow::Context as _;
use devstack::Stack;
use devstack::browser::Browser;
use devstack::walkthrough::{Route, channels_of, get_access_token, refresh_access_token};
use latchkey_demo_provider::{Decision, Flavour};
use latchkey_e2e::{account, eventually, run, shared, sign_in};

/// Signs in, and gets a token before and after it must be refreshed.
async fn from_sign_in_to_token(stack: &Stack, route: Route, person: &str) -> anyhow::Result<()> {
    let done = sign_in(stack, route.path, &Decision::allow(person)).await?;
    let query = |name: &str| {
        done.authorize
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    assert_eq!(
        query("client_id").as_deref(),
        Some(stack.demo().client_id())
    );
    assert_eq!(query("code_challenge_method").as_deref(), Some("S256"));
    assert!(query("state").is_some_and(|state| state.len() >= 22));
    assert!(query("nonce").is_some_and(|nonce| nonce.len() >= 22));

    let handle = format!("{person}@acme.example");
    let account = account(stack, route.provider, &handle).await?;
    assert!(account.has_token);

    let mut tokens = stack.tokens(0).await?;
    let refreshes = stack.demo().refreshes(route.flavour);
    let token = get_access_token(&mut tokens, account.id, Duration::from_mins(1)).await?;
    assert_eq!(stack.demo().refreshes(route.flavour), refreshes);
    let issued = stack.demo().issued();
    assert!(
        issued
            .iter()
            .any(|one| one.kind == "access_token" && one.token == token.access_token),
        "the provider did not issue the token"
    );
    // A caller does this after a 401 of the provider's API.
    let renewed = refresh_access_token(&mut tokens, account.id, token.version).await?;
    assert_ne!(renewed.access_token, token.access_token);
    assert!(renewed.version > token.version);
    Ok(())
}

// R1, R5, R20, R24, R30
#[test]
fn a_google_sign_in_ends_in_channels_and_a_valid_token() -> anyhow::Result<()> {
    run(async {
        let stack = shared().await?;
        from_sign_in_to_token(&stack, Route::GOOGLE, "ada").await?;
        let account = account(&stack, "google", "ada@acme.example").await?;
        let channels = channels_of(stack.pool(), account.id).await?;
        assert_eq!(channels.message.as_deref(), Some("ONGOING"));
        assert_eq!(channels.calendar.as_deref(), Some("ONGOING"));
        Ok(())
    })
}

// R2, R5, R20, R24, R30
#[test]
fn a_microsoft_sign_in_ends_in_channels_and_a_valid_token() -> anyhow::Result<()> {
    run(async {
        let stack = shared().await?;
        from_sign_in_to_token(&stack, Route::MICROSOFT, "ada").await?;
        let account = account(&stack, "microsoft", "ada@acme.example").await?;
        let channels = channels_of(stack.pool(), account.id).await?;
        assert_eq!(channels.message.as_deref(), Some("ONGOING"));
        assert_eq!(channels.calendar.as_deref(), Some("ONGOING"));
        Ok(())
    })
}

// R3
#[test]
fn a_configured_provider_signs_in_and_has_a_valid_token() -> anyhow::Result<()> {
    run(async {
        let stack = shared().await?;
        from_sign_in_to_token(&stack, Route::OIDC, "ada").await
    })
}

// R23
#[test]
fn a_denied_calendar_is_shown_and_mail_works() -> anyhow::Result<()> {
    run(async {
        let stack = shared().await?;
        let partial =
            Decision::allow("grace").without("https://www.googleapis.com/auth/calendar.events");
        sign_in(&stack, "/auth/google", &partial).await?;
        let account = account(&stack, "google", "grace@acme.example").await?;
        let channels = channels_of(stack.pool(), account.id).await?;
        assert_eq!(channels.message.as_deref(), Some("ONGOING"));
        assert_eq!(
            channels.calendar.as_deref(),
            Some("FAILED_INSUFFICIENT_PERMISSIONS")
        );
        Ok(())
    })
}

// R7
#[test]
fn a_refusal_names_the_domains_that_are_allowed_and_writes_nothing() -> anyhow::Result<()> {
    run(async {
        let stack = shared().await?;
        for person in ["linus", "mallory"] {
            let mut browser = Browser::new()?;
            let done = devstack::walkthrough::sign_in(
                &mut browser,
                &stack,
                "/auth/google",
                &Decision::allow(person),
            )
            .await?;
            assert_eq!(done.landing.status / 100, 4, "{person}");
            assert!(done.landing.location.is_none(), "{person}");
            if person == "linus" {
                assert!(
                    done.landing.body.contains("acme.example"),
                    "{}",
                    done.landing.body
                );
            }
        }
        let written: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM auth.identity WHERE email IN ('linus@globex.example', 'mallory@acme.example')",
        )
        .fetch_one(stack.pool())
        .await?;
        assert_eq!(written, 0);
        Ok(())
    })
}

// R8
#[test]
fn a_person_who_is_signed_in_is_not_sent_to_the_provider_again() -> anyhow::Result<()> {
    run(async {
        let stack = shared().await?;
        let mut browser = Browser::new()?;
        let noor = Decision::allow("ada");
        let done =
            devstack::walkthrough::sign_in(&mut browser, &stack, "/auth/microsoft", &noor).await?;
        let app = done.landing.redirect_target()?.clone();
        let landed = browser.follow(app, |_| false).await?;
        assert_eq!(landed.status, 200, "{}", landed.body);
        let again = browser
            .get(format!("{}/auth/microsoft", stack.public_url()))
            .await?;
        let next = again.redirect_target().context("signed in already")?;
        assert!(
            !next.as_str().starts_with(stack.demo().base_url()),
            "sent to the provider again: {next}"
        );
        Ok(())
    })
}

// R22
#[test]
fn a_sign_in_after_a_revoked_grant_repairs_the_account() -> anyhow::Result<()> {
    run(async {
        // Not the shared stack, because the grants of the person are revoked.
        let stack = Stack::start(devstack::Options::test()).await?;
        let ada = Decision::allow("ada");
        sign_in(&stack, "/auth/google", &ada).await?;
        let before = account(&stack, "google", "ada@acme.example").await?;
        stack.demo().revoke("ada", Some(Flavour::Google));

        let mut tokens = stack.tokens(0).await?;
        let refused = refresh_access_token(&mut tokens, before.id, 1).await;
        assert!(refused.is_err());
        eventually("channels that show the dead grant", async || {
            let channels = channels_of(stack.pool(), before.id).await?;
            let failed = channels.message.as_deref() == Some("FAILED_INSUFFICIENT_PERMISSIONS");
            Ok(failed.then_some(()))
        })
        .await?;

        sign_in(&stack, "/auth/google", &ada).await?;
        eventually("channels in sync again", async || {
            let channels = channels_of(stack.pool(), before.id).await?;
            Ok((channels.message.as_deref() == Some("ONGOING")).then_some(()))
        })
        .await?;
        let after = account(&stack, "google", "ada@acme.example").await?;
        assert_eq!(after.id, before.id);
        get_access_token(&mut tokens, after.id, Duration::from_mins(1)).await?;
        Ok(())
    })
}
