//! Authorization (R36): the policy as callers and the audit see it.

use std::time::Duration;

use latchkey_demo_provider::Flavour;
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::{AccountHandle, AccountSelector, GetAccessTokenRequest};
use tonic::Code;

use crate::support::{
    Account, Client, MAIL, PolicyFile, Refusal, Token, World, by_id, eventually, everything,
    logged, mail_of, refusal, rule,
};

const EVERY: &str = "\"*\"";

fn not_allowed() -> Refusal {
    Refusal {
        code: Code::PermissionDenied,
        reason: "CALLER_NOT_ALLOWED".to_owned(),
        retry_after: None,
    }
}

fn by_handle(account: &Account) -> GetAccessTokenRequest {
    let selector = Selector::Handle(AccountHandle {
        workspace_id: account.binding.workspace.to_string(),
        provider: account.binding.provider.to_string(),
        handle: account.handle.clone(),
    });
    GetAccessTokenRequest {
        account: Some(AccountSelector {
            selector: Some(selector),
        }),
        ..GetAccessTokenRequest::default()
    }
}

// R36
#[tokio::test]
async fn a_caller_may_do_what_one_rule_allows_and_it_is_audited() {
    let policy = PolicyFile::new("");
    let world = World::new().await.with_policy(&policy);
    let own = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let foreign = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let other_provider = world
        .connect(Flavour::Oidc, "ada", Token::Expires(3000))
        .await;
    sqlx::query("UPDATE vault.credential SET workspace_id = $1 WHERE account_id = $2")
        .bind(own.binding.workspace.as_uuid())
        .bind(other_provider.id.as_uuid())
        .execute(world.pool())
        .await
        .unwrap();
    policy.write(&mail_of(&own.binding.workspace.to_string()));
    let replica = world.replica();
    let files = world
        .certificates
        .authority()
        .client_with_id("mail", MAIL)
        .unwrap();
    let mail = Client::of(replica.grpc, &world.certificates, &files);

    assert!(mail.get(own.id).await.is_ok());
    assert!(mail.ask(by_handle(&own)).await.is_ok());

    // Method.
    assert_eq!(refusal(mail.revoke(own.id).await), not_allowed());
    // Workspace, by id and by handle.
    assert_eq!(refusal(mail.get(foreign.id).await), not_allowed());
    assert_eq!(refusal(mail.ask(by_handle(&foreign)).await), not_allowed());
    // Provider.
    assert_eq!(refusal(mail.get(other_provider.id).await), not_allowed());
    // Requested scopes.
    let wider = GetAccessTokenRequest {
        account: Some(by_id(own.id.to_string())),
        required_scopes: vec!["calendar.read".to_owned()],
        ..GetAccessTokenRequest::default()
    };
    assert_eq!(refusal(mail.ask(wider).await), not_allowed());

    let rows = world.audited(7).await;
    let outcomes: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row.method.as_str(), row.outcome.as_str()))
        .collect();
    let get = "GetAccessToken";
    assert_eq!(
        outcomes,
        [
            (get, "GIVEN"),
            (get, "GIVEN"),
            ("RevokeAccount", "REFUSED"),
            (get, "REFUSED"),
            (get, "REFUSED"),
            (get, "REFUSED"),
            (get, "REFUSED"),
        ]
    );
    assert!(
        rows.iter()
            .all(|row| row.caller == MAIL && row.peer.is_some())
    );
    let given = &rows[0];
    assert_eq!(given.account_id, Some(own.id.as_uuid()));
    assert_eq!(given.workspace_id, Some(own.binding.workspace.as_uuid()));
    assert_eq!(given.provider.as_deref(), Some("google"));
    assert_eq!(
        given.granted_scopes.as_deref(),
        Some("email mail.read openid")
    );
    assert_eq!(rows[3].account_id, Some(foreign.id.as_uuid()));
    assert_eq!(
        rows[3].reason.as_deref(),
        Some("account outside the policy")
    );
    assert_eq!(rows[6].reason.as_deref(), Some("scopes"));
    // The refusal is also logged, without the token.
    let line = format!("account.id=\"{}\"", foreign.id);
    eventually(async || {
        logged()
            .lines()
            .any(|text| text.contains(" audit: ") && text.contains(&line))
            .then_some(())
    })
    .await;
}

// R36: the token itself may have more scopes than the caller may have.
#[tokio::test]
async fn a_token_with_more_scopes_than_the_caller_may_have_is_not_given() {
    let policy = PolicyFile::new("");
    let world = World::new().await.with_policy(&policy);
    let calendar_only = rule(
        "[\"test-client\"]",
        EVERY,
        EVERY,
        EVERY,
        "[\"calendar.read\"]",
    );
    policy.write(&calendar_only);
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(-10))
        .await;

    assert_eq!(refusal(client.get(account.id).await), not_allowed());
    assert_eq!(
        refusal(client.ask(by_handle(&account)).await),
        not_allowed()
    );
    // The provider was not asked for it either.
    assert_eq!(world.demo.refreshes(Flavour::Google), 0);
}

// R36
#[tokio::test]
async fn a_caller_without_a_name_and_one_that_no_rule_names_are_refused() {
    let policy = PolicyFile::new(&everything("test-client"));
    let world = World::new().await.with_policy(&policy);
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let replica = world.replica();
    let authority = world.certificates.authority();
    let other = Client::of(
        replica.grpc,
        &world.certificates,
        &authority.client("test-client-2").unwrap(),
    );
    assert_eq!(refusal(other.get(account.id).await), not_allowed());

    // The policy names its common name, which does not identify a caller.
    let nameless = authority.client_without_names("test-client").unwrap();
    let nameless = Client::of(replica.grpc, &world.certificates, &nameless);
    let refused = refusal(nameless.get(account.id).await);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::Unauthenticated, "CALLER_UNKNOWN")
    );
    let rows = world.audited(2).await;
    assert_eq!(
        (rows[0].caller.as_str(), rows[0].outcome.as_str()),
        ("test-client-2", "REFUSED")
    );
    assert_eq!(
        rows[1].reason.as_deref(),
        Some("a certificate without a name")
    );
}

// R36: calls that are authorized account by account queue for the database like others,
// and none of them mistakes the queue for an outage.
#[tokio::test(flavor = "multi_thread")]
async fn many_callers_that_wait_for_the_database_are_answered() {
    let policy = PolicyFile::new("");
    let world = World::new().await.with_policy(&policy);
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    policy.write(&mail_of(&account.binding.workspace.to_string()));
    let replica = world.replica();
    let files = world
        .certificates
        .authority()
        .client_with_id("mail", MAIL)
        .unwrap();
    let mail = Client::of(replica.grpc, &world.certificates, &files);
    let mut lock = world.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE vault.credential IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let (mail, id) = (mail.clone(), account.id);
            tokio::spawn(async move { mail.get(id).await })
        })
        .collect();
    // Longer than the deadline of a connection.
    tokio::time::sleep(Duration::from_secs(6)).await;
    lock.rollback().await.unwrap();
    for caller in calls {
        caller.await.unwrap().unwrap();
    }
}

// R36
#[tokio::test]
async fn a_new_policy_is_in_force_without_a_restart_and_a_broken_one_is_not() {
    let policy = PolicyFile::new(&everything("somebody-else"));
    let world = World::new().await.with_policy(&policy);
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    assert_eq!(refusal(client.get(account.id).await), not_allowed());

    policy.write(&everything("test-client"));
    eventually(async || client.get(account.id).await.ok()).await;

    let broken = format!("[[rule]]\ncallers = [\"test-client\"]\n# {}", account.id);
    policy.write(&broken);
    eventually(async || {
        logged()
            .contains("changed files cannot be used")
            .then_some(())
    })
    .await;
    assert!(client.get(account.id).await.is_ok());

    policy.write(&everything("somebody-else"));
    eventually(async || client.get(account.id).await.err()).await;
}

// R36, R40
#[tokio::test]
async fn without_a_policy_the_service_does_not_start() {
    let world = World::new().await.with("POLICY", "");
    let clock = std::sync::Arc::new(latchkey_domain::SystemClock);
    let error = refresh_svc::Config::from_environment(&world.environment(), clock);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("POLICY: is missing") && error.contains("any-certificate"),
        "{error}"
    );
}
