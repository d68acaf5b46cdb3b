//! Scopes: what a grant has, what a scope includes, and what a policy allows.

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use latchkey_proto::token::GetAccessTokenRequest;
use tonic::Code;

use crate::support::{PolicyFile, Token, World, asking, refusal, rule};

fn answering(scope: &str) -> Fault {
    let body = format!(
        r#"{{"access_token":"new","token_type":"Bearer","expires_in":3600,"scope":{scope}}}"#
    );
    Fault::on(Endpoint::Token).answering(200, body)
}

async fn grants(world: &World, account: &crate::support::Account, scopes: &[&str]) {
    sqlx::query("UPDATE vault.credential SET granted_scopes = $2 WHERE account_id = $1")
        .bind(account.id.as_uuid())
        .bind(scopes)
        .execute(world.pool())
        .await
        .unwrap();
}

/// The caller may have only tokens that read mail.
fn mail_read_alone() -> PolicyFile {
    PolicyFile::new(&rule(
        "[\"test-client\"]",
        "\"*\"",
        "\"*\"",
        "\"*\"",
        "[\"mail.read\"]",
    ))
}

// R5, R36; RFC 6749 sections 5.1 and 6.
#[tokio::test]
async fn an_empty_scope_in_a_refresh_changes_no_scope_and_widens_no_policy() {
    let policy = mail_read_alone();
    let world = World::new().await.with_policy(&policy);
    let (_replica, client) = world.served().await;
    for empty in ["\"\"", "\" \"", "[]", "null"] {
        let account = world.expired(Flavour::Google).await;
        let wide = ["openid", "mail.read", "files.delete"];
        grants(&world, &account, &wide).await;
        world.demo.inject(answering(empty));

        let refused = refusal(client.get(account.id).await);

        assert_eq!(refused.code, Code::PermissionDenied, "{empty}");
        // A token within the limit is given as before.
        let own = world.expired(Flavour::Google).await;
        world.demo.forget_faults();
        world.demo.inject(answering(empty));
        let token = client.get(own.id).await.unwrap();
        assert_eq!(token.granted_scopes, ["email", "mail.read", "openid"]);
        assert_eq!(
            world.stored(&own).await.granted_scopes,
            ["openid", "email", "mail.read"]
        );
        world.demo.forget_faults();
    }
}

// R36: a token with unknown scopes is within no limit.
#[tokio::test]
async fn a_token_of_unknown_scopes_is_within_no_limit() {
    let policy = mail_read_alone();
    let world = World::new().await.with_policy(&policy);
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    grants(&world, &account, &[]).await;
    assert_eq!(
        refusal(client.get(account.id).await).code,
        Code::PermissionDenied
    );
}

// R5, R32, R36: Microsoft's default scopes, written as in its documentation.
#[tokio::test]
async fn a_wider_scope_meets_a_narrower_one_and_the_limit_of_a_policy() {
    let policy = PolicyFile::new(&rule(
        "[\"test-client\"]",
        "\"*\"",
        "[\"microsoft\", \"google\"]",
        "\"*\"",
        "[\"Mail.ReadWrite\", \"https://www.googleapis.com/auth/gmail.modify\"]",
    ));
    let world = World::new().await.with_policy(&policy);
    let (_replica, client) = world.served().await;
    let cases = [
        (
            Flavour::Microsoft,
            "Mail.ReadWrite",
            "https://graph.microsoft.com/mail.read",
            "Mail.Send",
        ),
        (
            Flavour::Microsoft,
            "mail.read",
            "Mail.Read",
            "Mail.ReadWrite",
        ),
        (
            Flavour::Google,
            "https://www.googleapis.com/auth/gmail.modify",
            "https://www.googleapis.com/auth/gmail.readonly",
            "https://mail.google.com/",
        ),
    ];
    for (flavour, granted, met, missing) in cases {
        let account = world.connect(flavour, "ada", Token::Expires(3000)).await;
        grants(&world, &account, &["openid", granted]).await;
        let ask = |scope: &str| GetAccessTokenRequest {
            required_scopes: vec![scope.to_owned()],
            ..asking(&account.id)
        };
        let token = client.ask(ask(met)).await.unwrap();
        assert_eq!(token.provider, account.binding.provider.as_str());
        let refused = refusal(client.ask(ask(missing)).await);
        let reasons = ["INSUFFICIENT_SCOPES", "CALLER_NOT_ALLOWED"];
        assert!(reasons.contains(&refused.reason.as_str()), "{refused:?}");
    }
}
