//! Mix-up attacks: a provider of the attacker tries to get the code of an honest provider
//! (RFC 9700 section 4.4, RFC 9207). Here the OpenID provider belongs to the attacker.

use latchkey_demo_provider::{Decision, Endpoint, Flavour, Misbehaviour as M};

use crate::support::{
    PROVIDERS, TestApp, assert_nothing_written, parameter, refusal, with_parameter,
};

/// Section 4.4.1: the attacker's provider redirects the victim to the honest one with the
/// flow's own state.
#[tokio::test]
async fn a_mixed_up_code_never_reaches_the_attackers_token_endpoint() {
    let app = TestApp::start().await;
    for honest in ["/auth/google", "/auth/microsoft"] {
        let mut victim = app.browser().json();
        // The victim chose the attacker's provider …
        let flow = victim.get("/auth/oidc/demo").await.location();
        // … which redirects to the honest one, with the state of that flow.
        let template = app.browser().get(honest).await.location();
        let mut forwarded = url::Url::parse(&template).unwrap();
        let pairs: Vec<(String, String)> = forwarded
            .query_pairs()
            .map(|(name, value)| {
                let value = match &*name {
                    "state" | "nonce" | "code_challenge" => parameter(&flow, &name),
                    _ => value.into_owned(),
                };
                (name.into_owned(), value)
            })
            .collect();
        forwarded.query_pairs_mut().clear().extend_pairs(pairs);
        let callback = app
            .decide(forwarded.as_str(), &Decision::allow("ada"))
            .await;
        assert!(callback.starts_with(&format!("{honest}/redirect")));
        let response =
            assert_nothing_written(&app, async || victim.clone().get(&callback).await).await;
        assert_eq!(
            refusal(&response),
            (400, "flow_unknown".to_owned()),
            "{honest}"
        );
        // Even if the attacker's redirect URI is registered there, `iss` differs.
        let elsewhere = callback.replace(&format!("{honest}/redirect"), "/auth/oidc/demo/redirect");
        let response = assert_nothing_written(&app, async || victim.get(&elsewhere).await).await;
        assert_eq!(
            refusal(&response),
            (400, "issuer_mismatch".to_owned()),
            "{honest}"
        );
    }
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Token), 0);
}

/// RFC 9207 section 2.4: `iss` is compared exactly and required if it is announced, also
/// in an error response.
#[tokio::test]
async fn a_response_of_another_issuer_is_refused_even_if_it_is_an_error() {
    let app = TestApp::start().await;
    for (path, flavour) in [PROVIDERS[0], PROVIDERS[2]] {
        for how in [M::WrongResponseIssuer, M::NoResponseIssuer] {
            app.demo.misbehave(flavour, Some(how));
            for decision in [Decision::allow("ada"), Decision::deny()] {
                let response = assert_nothing_written(&app, async || {
                    app.run_flow(&mut app.browser().json(), path, &decision)
                        .await
                })
                .await;
                assert_eq!(
                    refusal(&response),
                    (400, "issuer_mismatch".to_owned()),
                    "{path} {how:?}"
                );
            }
        }
        assert_eq!(app.demo.count(flavour, Endpoint::Token), 0);
    }
}

/// RFC 9207 section 2.4: the comparison does not normalise.
#[tokio::test]
async fn an_issuer_is_compared_exactly() {
    let app = TestApp::start().await;
    let mut browser = app.browser().json();
    let callback = app
        .run_flow_to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    let issuer = app.demo.issuer(Flavour::Google);
    for almost in [
        format!("{issuer}/"),
        issuer.to_uppercase(),
        issuer.replace("http://", "https://"),
        format!("{issuer}#"),
        format!(" {issuer}"),
        app.demo.issuer(Flavour::Oidc),
    ] {
        let mixed = with_parameter(&callback, "iss", &almost);
        let response =
            assert_nothing_written(&app, async || browser.clone().get(&mixed).await).await;
        assert_eq!(
            refusal(&response),
            (400, "issuer_mismatch".to_owned()),
            "{almost}"
        );
    }
}
