//! R47, R51: differences between providers that follow the standards. Each kind of response
//! is accepted.

use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour, Misbehaviour as M, SigningKey};
use latchkey_providers::{IdTokenError, ProviderError, Purpose, TOKEN_TOO_LARGE};
use serde_json::{Value, json};

use crate::support::{World, parameter, request, world};

fn announce(world: &World, name: &str, value: Value) {
    world.demo.change(|settings| {
        settings.discovery.insert(name.to_owned(), value);
    });
}

fn respond_with(world: &World, name: &str, value: Value) {
    world.demo.change(|settings| {
        settings.token_answer.insert(name.to_owned(), value);
    });
}

async fn sent_to_authorize(world: &World, name: &str) -> Option<String> {
    let order = request(Purpose::Connect);
    let url = world.provider("demo").authorize_url(&order).await.unwrap();
    parameter(&url, name)
}

#[tokio::test]
async fn compressed_responses_are_read() {
    let world = world(&[]).await;
    world.demo.change(|settings| settings.compressed = true);
    for name in ["google", "microsoft", "demo"] {
        let tokens = world.tokens(name).await;
        world.verify(name, &tokens).await.unwrap();
        let token = tokens.refresh_token.unwrap();
        world.provider(name).refresh(&token).await.unwrap();
    }
    // A body that is small before decompression and large afterwards is not read.
    let bomb = Fault::on(Endpoint::Token).answering(200, " ".repeat(8 * 1024 * 1024));
    let token = world.tokens("google").await.refresh_token.unwrap();
    world.demo.inject(bomb);
    let refused = world.provider("google").refresh(&token).await.unwrap_err();
    assert!(refused.description.unwrap().contains("too large"));
}

#[tokio::test]
async fn a_bearer_token_has_several_names_and_a_bound_token_is_refused() {
    let world = world(&[]).await;
    respond_with(&world, "token_type", json!("BearerToken"));
    let tokens = world.tokens("demo").await;
    let token = tokens.refresh_token.unwrap();
    respond_with(&world, "token_type", json!("DPoP"));
    let refused = world.provider("demo").refresh(&token).await.unwrap_err();
    // The rotated refresh token is not lost.
    assert!(refused.rotated.is_some());
    assert!(refused.description.unwrap().contains("RFC 9449"));
}

#[tokio::test]
async fn large_tokens_are_accepted_up_to_a_limit() {
    let world = world(&[]).await;
    world.demo.misbehave(Flavour::Oidc, Some(M::LargeIdToken));
    respond_with(&world, "access_token", json!("a".repeat(200 * 1024)));
    let tokens = world.tokens("demo").await;
    assert_eq!(tokens.access_token.expose().len(), 200 * 1024);
    assert!(tokens.id_token.as_ref().unwrap().len() > 64 * 1024);
    respond_with(&world, "access_token", json!("a".repeat(300 * 1024)));
    let token = tokens.refresh_token.unwrap();
    let refused = world.provider("demo").refresh(&token).await.unwrap_err();
    assert_eq!(refused.code.as_deref(), Some(TOKEN_TOO_LARGE));
    assert!(refused.rotated.is_some());
}

#[tokio::test]
async fn optional_fields_of_the_discovery_document_may_be_null_or_texts() {
    let world = world(&[]).await;
    for (name, value) in [
        ("token_endpoint_auth_methods_supported", json!(null)),
        ("id_token_signing_alg_values_supported", json!("ES256")),
        ("code_challenge_methods_supported", json!("S256")),
        ("userinfo_endpoint", json!(null)),
        (
            "authorization_response_iss_parameter_supported",
            json!("true"),
        ),
    ] {
        announce(&world, name, value);
    }
    world.sign_in("demo").await.unwrap();
}

#[tokio::test]
async fn keys_of_one_id_and_keys_without_ids_verify() {
    for how in [M::DuplicateKidInJwks, M::KeysWithoutIds] {
        let world = world(&[]).await;
        world.demo.misbehave(Flavour::Oidc, Some(how));
        let signed_in = world.sign_in("demo").await;
        assert!(signed_in.is_ok(), "{how:?} {signed_in:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_replaced_under_its_id_is_fetched() {
    let world = world(&[]).await;
    world.sign_in("demo").await.unwrap();
    // The second fetch has to wait after the first.
    for _ in 0..2 {
        world.demo.replace_key(Flavour::Oidc).unwrap();
        world.sign_in("demo").await.unwrap();
    }
    assert_eq!(world.demo.count(Flavour::Oidc, Endpoint::Jwks), 3);
}

#[tokio::test]
async fn an_audience_beside_the_client_is_accepted_if_it_is_configured() {
    let known = [("AUTH_OIDC_DEMO_AUDIENCES", "another-client, project")];
    for (more, expected) in [(&known[..], true), (&[][..], false)] {
        let world = world(more).await;
        world.demo.misbehave(Flavour::Oidc, Some(M::ExtraAudience));
        match world.sign_in("demo").await {
            Ok(_) => assert!(expected),
            Err(IdTokenError::OtherAudiences(_)) => assert!(!expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn offline_access_is_requested_if_it_is_announced_or_configured() {
    let announced = json!(["openid", "offline_access"]);
    for (switch, scopes, asked) in [
        (None, announced.clone(), true),
        (None, json!(["openid"]), false),
        (None, json!(null), false),
        (Some("true"), json!(["openid"]), true),
        (Some("false"), announced, false),
    ] {
        let more = switch.map(|value| ("AUTH_OIDC_DEMO_OFFLINE", value));
        let world = world(more.as_slice()).await;
        announce(&world, "scopes_supported", scopes.clone());
        let sent = sent_to_authorize(&world, "scope").await.unwrap();
        assert_eq!(
            sent.contains("offline_access"),
            asked,
            "{switch:?} {scopes}"
        );
        // A response without scopes means the requested scopes.
        world.demo.change(|settings| settings.omit_scope = true);
        let tokens = world.tokens("demo").await;
        let granted = tokens.granted_scopes.unwrap();
        assert_eq!(granted.contains("offline_access"), asked);
    }
}

#[tokio::test]
async fn select_account_is_sent_if_the_provider_supports_it() {
    for (switch, announced, asked) in [
        (None, json!(null), false),
        (None, json!(["none", "select_account"]), true),
        (None, json!(["none", "login", "consent"]), false),
        (Some("true"), json!(["login"]), true),
        (Some("false"), json!(["select_account"]), false),
    ] {
        let more = switch.map(|value| ("AUTH_OIDC_DEMO_SELECT_ACCOUNT", value));
        let world = world(more.as_slice()).await;
        announce(&world, "prompt_values_supported", announced.clone());
        let sent = sent_to_authorize(&world, "prompt").await;
        let expected = asked.then_some("select_account");
        assert_eq!(sent.as_deref(), expected, "{switch:?} {announced}");
    }
    let world = world(&[("AUTH_GOOGLE_SELECT_ACCOUNT", "false")]).await;
    let order = request(Purpose::Connect);
    let url = world.provider("google").authorize_url(&order).await;
    assert_eq!(parameter(&url.unwrap(), "prompt"), None);
}

#[tokio::test]
async fn further_parameters_are_added_to_the_authorize_url() {
    let more = "audience=https%3A%2F%2Fapi.acme.example&kc_idp_hint=acme";
    let world = world(&[("AUTH_OIDC_DEMO_AUTHORIZE_PARAMETERS", more)]).await;
    let audience = sent_to_authorize(&world, "audience").await;
    assert_eq!(audience.as_deref(), Some("https://api.acme.example"));
    let hint = sent_to_authorize(&world, "kc_idp_hint").await;
    assert_eq!(hint.as_deref(), Some("acme"));
    world.sign_in("demo").await.unwrap();
}

#[tokio::test]
async fn a_requirement_that_is_not_supported_is_named() {
    for (name, value, word) in [
        (
            "token_endpoint_auth_methods_supported",
            json!(["tls_client_auth"]),
            "tls_client_auth",
        ),
        ("require_signed_request_object", json!(true), "JAR"),
        (
            "id_token_signing_alg_values_supported",
            json!(["ES512"]),
            "ES512",
        ),
    ] {
        let world = world(&[]).await;
        announce(&world, name, value);
        let refused = world.provider("demo").discover().await.unwrap_err();
        assert!(matches!(refused, ProviderError::Unsupported(_)), "{name}");
        assert!(refused.to_string().contains(word), "{refused}");
        // The requirement stops the start.
        let limit = std::time::Duration::from_secs(20);
        let refused = world.registry.refuse_unsupported(limit).await.unwrap_err();
        assert_eq!(refused.name, "AUTH_OIDC_DEMO_ISSUER");
        assert!(refused.problem.contains(word), "{refused}");
    }
}

// RFC 9126 section 2: the client authenticates as at the token endpoint.
#[tokio::test]
async fn a_request_is_pushed_by_the_authenticated_client() {
    const METHOD: &str = "AUTH_OIDC_DEMO_TOKEN_AUTH_METHOD";
    const PUSHED: (&str, &str) = ("AUTH_OIDC_DEMO_PUSHED_AUTHORIZATION_REQUESTS", "always");
    let key = SigningKey::ec().unwrap();
    let pem = key.to_pem().unwrap();
    for method in [
        "client_secret_basic",
        "client_secret_post",
        "none",
        "private_key_jwt",
    ] {
        let with_secret = method.starts_with("client_secret");
        let mut more = vec![PUSHED, (METHOD, method)];
        if !with_secret {
            more.push(("AUTH_OIDC_DEMO_CLIENT_SECRET", ""));
        }
        if method == "private_key_jwt" {
            more.push(("AUTH_OIDC_DEMO_PRIVATE_KEY", pem.as_str()));
        }
        let world = world(&more).await;
        let jwks = world.registry.client_jwks();
        world.demo.change(|settings| {
            settings.require_pushed_authorization = true;
            settings.public_client = method == "none";
            settings.client_jwks = (method == "private_key_jwt").then_some(jwks);
        });
        world.sign_in("demo").await.unwrap();
        let counter = format!("oidc.client.{method}");
        assert_eq!(world.demo.counter(&counter), 2, "{method}");
    }
}

// RFC 9126 section 4: the endpoint's own parameters stay in the URL.
#[tokio::test]
async fn a_pushed_request_keeps_the_authorization_endpoints_own_parameters() {
    let pushed = ("AUTH_OIDC_DEMO_PUSHED_AUTHORIZATION_REQUESTS", "always");
    let world = world(&[pushed]).await;
    let endpoint = format!("{}/oidc/authorize?p=policy", world.demo.base_url());
    announce(&world, "authorization_endpoint", json!(endpoint));
    let order = request(Purpose::SignIn);
    let url = world.provider("demo").authorize_url(&order).await.unwrap();
    let names: Vec<_> = url
        .query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect();
    assert_eq!(names, ["p", "client_id", "request_uri"]);
    world.sign_in("demo").await.unwrap();
}

#[tokio::test]
async fn a_contradiction_about_pushed_requests_stops_the_start_and_no_refresh() {
    let never = ("AUTH_OIDC_DEMO_PUSHED_AUTHORIZATION_REQUESTS", "never");
    let world = world(&[never]).await;
    let tokens = world.tokens("demo").await;
    world
        .demo
        .change(|settings| settings.require_pushed_authorization = true);
    world.clock.advance(std::time::Duration::from_hours(48));
    let limit = std::time::Duration::from_secs(20);
    let refused = world.registry.refuse_unsupported_sign_ins(limit).await;
    let refused = refused.unwrap_err();
    assert!(refused.problem.contains("PAR, RFC 9126"), "{refused}");
    world.registry.refuse_unsupported(limit).await.unwrap();
    let provider = world.provider("demo");
    let refreshed = provider.refresh(&tokens.refresh_token.unwrap()).await;
    refreshed.unwrap();
}

#[tokio::test]
async fn a_provider_that_is_down_does_not_stop_the_start() {
    let world = world(&[]).await;
    let down = Fault::on(Endpoint::Discovery).answering(503, "").times(9);
    world.demo.inject(down);
    let limit = std::time::Duration::from_secs(20);
    world.registry.refuse_unsupported(limit).await.unwrap();
}

#[tokio::test]
async fn the_lifetime_of_a_refresh_token_is_read() {
    let world = world(&[]).await;
    respond_with(&world, "refresh_expires_in", json!(1800));
    let tokens = world.tokens("demo").await;
    let lifetime = tokens.refresh_token_expires_in.unwrap();
    assert_eq!(lifetime.as_secs(), 1800);
}

#[tokio::test]
async fn names_of_claims_can_be_configured() {
    let world = world(&[
        ("AUTH_OIDC_DEMO_EMAIL_CLAIM", "upn"),
        ("AUTH_OIDC_DEMO_SUBJECT_CLAIM", "employee"),
    ])
    .await;
    let claims = json!({"upn": "ada@globex.example", "employee": "e-1"});
    let claims = claims.as_object().unwrap().clone();
    world.demo.set_claims("ada", claims);
    let order = request(Purpose::SignIn);
    let decision = Decision::allow("ada");
    let tokens = world.grant("demo", &order, &decision).await.unwrap();
    let person = world.verify("demo", &tokens).await.unwrap();
    assert_eq!(person.subject.as_str(), "e-1");
    assert_eq!(
        person.email.as_ref().unwrap().as_str(),
        "ada@globex.example"
    );
    // `email_verified` is about `email`, which is another address.
    assert!(!person.email_verified());
}
