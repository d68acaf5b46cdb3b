//! Sign-in: from the authorization request to the identity.

use latchkey_demo_provider::{ACME_TENANT, Decision, Flavour, GLOBEX_TENANT, Misbehaviour};
use latchkey_providers::{Access, IdTokenError, ProviderError, Purpose};

use crate::support::{parameter, request, world};

// R1, R2, R3
#[tokio::test]
async fn the_authorize_url_has_client_state_nonce_and_pkce() {
    let world = world(&[]).await;
    for name in ["google", "microsoft", "demo"] {
        let provider = world.provider(name);
        let url = provider
            .authorize_url(&request(Purpose::SignIn))
            .await
            .unwrap();
        let has = |key: &str| parameter(&url, key).unwrap_or_default();
        assert_eq!(has("client_id"), "demo-client", "{name}");
        assert_eq!(has("response_type"), "code", "{name}");
        assert_eq!(has("state"), "the-state", "{name}");
        assert_eq!(has("nonce"), "the-nonce-of-this-flow", "{name}");
        assert_eq!(has("code_challenge_method"), "S256", "{name}");
        assert_eq!(has("code_challenge").len(), 43, "{name}");
        let redirect_uri = provider.redirect_uri(Purpose::SignIn).unwrap();
        assert_eq!(has("redirect_uri"), redirect_uri.as_str(), "{name}");
        // R7: no domain is excluded.
        assert_eq!(parameter(&url, "hd"), None, "{name}");
        // No screen of the provider is shown without need.
        assert_eq!(parameter(&url, "prompt"), None, "{name}");
        let mut keys: Vec<_> = url.query_pairs().map(|(key, _)| key.into_owned()).collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all, "{name}: a parameter occurs twice");
    }
}

// R5, R7
#[tokio::test]
async fn consent_and_a_single_domain_are_requested_only_on_demand() {
    let world = world(&[]).await;
    let mut order = request(Purpose::SignIn);
    order.consent = true;
    order.hosted_domain = Some("acme.example".into());
    order.login_hint = Some("ada@acme.example".into());
    let google = world
        .provider("google")
        .authorize_url(&order)
        .await
        .unwrap();
    assert_eq!(parameter(&google, "prompt").as_deref(), Some("consent"));
    assert_eq!(parameter(&google, "hd").as_deref(), Some("acme.example"));
    assert_eq!(
        parameter(&google, "access_type").as_deref(),
        Some("offline")
    );
    assert_eq!(
        parameter(&google, "login_hint").as_deref(),
        Some("ada@acme.example")
    );
    let microsoft = world
        .provider("microsoft")
        .authorize_url(&order)
        .await
        .unwrap();
    assert_eq!(parameter(&microsoft, "hd"), None);
}

// R1, R5
#[tokio::test]
async fn google_signs_a_person_in() {
    let world = world(&[]).await;
    let tokens = world.tokens("google").await;
    let person = world.verify("google", &tokens).await.unwrap();
    assert_eq!(person.issuer.as_str(), world.demo.issuer(Flavour::Google));
    assert_eq!(person.subject.as_str(), "100000000000000000001");
    assert_eq!(person.email.as_ref().unwrap().as_str(), "ada@acme.example");
    assert!(person.email_verified());
    assert_eq!(person.hosted_domain.as_deref(), Some("acme.example"));
    assert_eq!(person.name.as_deref(), Some("Ada Lovelace"));
    assert_eq!(person.tenant, None);
    assert!(tokens.refresh_token.is_some());
    assert_eq!(tokens.expires_in.unwrap().as_secs(), 3600);
    let access = world
        .provider("google")
        .access(&tokens.granted_scopes.unwrap());
    assert_eq!(
        (access.messages, access.calendar),
        (Access::Granted, Access::Granted)
    );
}

// R2
#[tokio::test]
async fn microsoft_signs_a_person_in_by_tenant_and_object() {
    let world = world(&[]).await;
    let tokens = world.tokens("microsoft").await;
    let person = world.verify("microsoft", &tokens).await.unwrap();
    let subject = format!("{ACME_TENANT}/dddddddd-0000-4000-8000-000000000001");
    assert_eq!(person.subject.as_str(), subject);
    assert!(
        person
            .issuer
            .as_str()
            .ends_with(&format!("/{ACME_TENANT}/v2.0"))
    );
    assert_eq!(person.tenant.as_deref(), Some(ACME_TENANT));
    assert!(person.email_verified());
    let access = world
        .provider("microsoft")
        .access(&tokens.granted_scopes.unwrap());
    assert_eq!(
        (access.messages, access.calendar),
        (Access::Granted, Access::Granted)
    );
}

// R3
#[tokio::test]
async fn a_provider_by_definition_signs_a_person_in() {
    let world = world(&[]).await;
    let tokens = world.tokens("demo").await;
    let person = world.verify("demo", &tokens).await.unwrap();
    assert_eq!(person.subject.as_str(), "100000000000000000001");
    assert!(person.email_verified() && person.hosted_domain.is_none());
    assert!(tokens.refresh_token.is_some());
}

// R2
#[tokio::test]
async fn microsoft_several_tenants() {
    let world = world(&[("AUTH_MICROSOFT_ALLOWED_TENANTS", GLOBEX_TENANT)]).await;
    let refused = world.sign_in("microsoft").await;
    assert!(
        matches!(refused, Err(IdTokenError::Tenant(_))),
        "{refused:?}"
    );
    let order = request(Purpose::SignIn);
    let tokens = world
        .grant("microsoft", &order, &Decision::allow("linus"))
        .await
        .unwrap();
    world.verify("microsoft", &tokens).await.unwrap();
}

// R2
#[tokio::test]
async fn microsoft_single_tenant() {
    let world = world(&[("AUTH_MICROSOFT_TENANT_ID", ACME_TENANT)]).await;
    let settings = |settings: &mut latchkey_demo_provider::Settings| {
        settings.microsoft_single_tenant = Some(ACME_TENANT.into());
    };
    world.demo.change(settings);
    world.sign_in("microsoft").await.unwrap();
    world
        .demo
        .misbehave(Flavour::Microsoft, Some(Misbehaviour::OtherTenant));
    let refused = world.sign_in("microsoft").await;
    assert!(
        matches!(refused, Err(IdTokenError::Tenant(_))),
        "{refused:?}"
    );
}

// R5, R23
#[tokio::test]
async fn granted_scopes_may_differ_from_requested_scopes() {
    let world = world(&[]).await;
    let calendar = "https://www.googleapis.com/auth/calendar.events";
    let decision = Decision::allow("ada").without(calendar);
    let tokens = world
        .grant("google", &request(Purpose::SignIn), &decision)
        .await
        .unwrap();
    let access = world
        .provider("google")
        .access(&tokens.granted_scopes.unwrap());
    assert_eq!(
        (access.messages, access.calendar),
        (Access::Granted, Access::Denied)
    );
}

// R5: RFC 6749 section 5.1.
#[tokio::test]
async fn a_response_without_scope_means_the_requested_scopes() {
    let world = world(&[]).await;
    world.demo.change(|settings| settings.omit_scope = true);
    let tokens = world.tokens("demo").await;
    let asked = world.provider("demo").wanted_scopes(Purpose::SignIn);
    assert_eq!(tokens.granted_scopes, Some(asked));
}

// R7: nOAuth.
#[tokio::test]
async fn an_address_is_verified_only_if_the_provider_vouches() {
    let world = world(&[]).await;
    for (name, flavour) in [
        ("google", Flavour::Google),
        ("microsoft", Flavour::Microsoft),
        ("demo", Flavour::Oidc),
    ] {
        world
            .demo
            .misbehave(flavour, Some(Misbehaviour::UnverifiedEmail));
        let person = world.sign_in(name).await.unwrap();
        assert!(!person.email_verified(), "{name}");
        assert!(person.email.is_some(), "{name}");
    }
    // Microsoft's email_verified proves nothing, and neither does a principal name.
    world.demo.misbehave(Flavour::Microsoft, None);
    let claims = serde_json::json!({"xms_edov": null, "email_verified": true});
    world
        .demo
        .set_claims("ada", claims.as_object().unwrap().clone());
    assert!(!world.sign_in("microsoft").await.unwrap().email_verified());
    let claims = serde_json::json!({"email": null});
    world
        .demo
        .set_claims("ada", claims.as_object().unwrap().clone());
    let person = world.sign_in("microsoft").await.unwrap();
    assert_eq!(person.email.as_ref().unwrap().as_str(), "ada@acme.example");
    assert!(!person.email_verified());
}

// RFC 9207, mix-up.
#[tokio::test]
async fn the_callback_says_which_issuer_it_comes_from() {
    let world = world(&[]).await;
    for (name, flavour) in [("google", Flavour::Google), ("demo", Flavour::Oidc)] {
        let provider = world.provider(name);
        for (how, expected) in [
            (None, Ok(())),
            (
                Some(Misbehaviour::WrongResponseIssuer),
                Err("the callback came from another issuer: expected "),
            ),
            (
                Some(Misbehaviour::NoResponseIssuer),
                Err("the callback does not say which issuer"),
            ),
        ] {
            world.demo.misbehave(flavour, how);
            for decision in [Decision::allow("ada"), Decision::deny()] {
                let order = request(Purpose::SignIn);
                let callback = world.callback(name, &order, &decision).await;
                let iss = parameter(&callback, "iss");
                let checked = provider.check_response_issuer(iss.as_deref()).await;
                let checked = checked.map_err(|error| error.to_string());
                match (&checked, expected) {
                    (Ok(()), Ok(())) => {}
                    (Err(error), Err(text)) => assert!(error.starts_with(text), "{error}"),
                    other => panic!("{name}: {other:?}"),
                }
            }
        }
    }
    let microsoft = world.provider("microsoft");
    let tenant = |tenant: &str| format!("{}/{tenant}/v2.0", world.demo.issuer(Flavour::Microsoft));
    microsoft.check_response_issuer(None).await.unwrap();
    microsoft
        .check_response_issuer(Some(&tenant(ACME_TENANT)))
        .await
        .unwrap();
    for other in [
        tenant("common"),
        tenant("a/b"),
        world.demo.issuer(Flavour::Google),
    ] {
        let checked = microsoft.check_response_issuer(Some(&other)).await;
        let Err(ProviderError::IssuerMismatch(both)) = checked else {
            panic!("{other}: {checked:?}");
        };
        assert!(both.to_string().contains(&other), "{both}");
    }
}

// R16
#[tokio::test]
async fn a_further_account_comes_back_to_its_own_callback() {
    let world = world(&[]).await;
    let order = request(Purpose::Connect);
    let decision = Decision::allow("linus");
    let callback = world.callback("google", &order, &decision).await;
    assert_eq!(callback.path(), "/auth/google-apis/get-access-token");
    let tokens = world.grant("google", &order, &decision).await.unwrap();
    let person = world.verify("google", &tokens).await.unwrap();
    assert_eq!(person.email.unwrap().domain(), "globex.example");
}
