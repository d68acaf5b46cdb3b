use async_trait::async_trait;
use auth_svc::random::Randomness;
use auth_svc::store::audit::Actor;
use auth_svc::store::workspace::domain::{self, Purpose};
use auth_svc::workspace::domain_verification::dns::{DnsError, TxtRecords};
use auth_svc::workspace::domain_verification::{self as proof, VerificationError};
use latchkey_demo_provider::Decision;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{NameServer, TestApp};

const DOMAINS: &str = "/auth/workspace/domains";

async fn error_code_of(app: &TestApp, person: &str) -> String {
    let mut browser = app.browser().json();
    app.run_flow(&mut browser, "/auth/google", &Decision::allow(person))
        .await
        .code()
}

/// A fake source of TXT records, without a network.
#[derive(Debug)]
struct Records(Result<Vec<String>, DnsError>);

#[async_trait]
impl TxtRecords for Records {
    async fn of(&self, name: &str) -> Result<Vec<String>, DnsError> {
        assert_eq!(name, "_latchkey.globex.example");
        self.0.clone()
    }
}

// R7, WP11
#[tokio::test]
async fn a_domain_added_by_an_administrator_admits_nobody_before_its_txt_record_is_found() {
    let name_server = NameServer::start().await;
    let app = TestApp::start_with(&[("DNS_RESOLVERS", &name_server.address)]).await;
    let mut admin = app.signed_in("ada").await.json();
    let new = json!({ "domain": "Globex.example" });
    let pending = admin.send_json(Method::POST, DOMAINS, &new).await;
    assert_eq!(pending.status, 202, "{}", pending.body);
    let pending = pending.json();
    assert_eq!(pending["recordName"], "_latchkey.globex.example");
    assert_eq!(error_code_of(&app, "linus").await, "domain_not_allowed");

    let verify = format!("{DOMAINS}/globex.example/verify");
    let early = admin.send(Method::POST, &verify).await;
    assert_eq!(
        (early.status, early.code().as_str()),
        (409, "record_missing")
    );
    name_server.publish("_latchkey.globex.example", "v=spf1 -all");
    assert_eq!(admin.send(Method::POST, &verify).await.status, 409);
    assert_eq!(error_code_of(&app, "linus").await, "domain_not_allowed");

    name_server.publish(
        "_latchkey.globex.example",
        pending["recordValue"].as_str().unwrap(),
    );
    let done = admin.send(Method::POST, &verify).await;
    assert_eq!(done.status, 200, "{}", done.body);
    app.signed_in("linus").await;
    // The domain is verified and no longer pending.
    let again = admin.send(Method::POST, &verify).await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (404, "domain_not_pending")
    );

    let list = admin.get(DOMAINS).await.json();
    let listed: Vec<&Value> = list["domains"].as_array().unwrap().iter().collect();
    assert_eq!(listed.len(), 2, "{list}");
    assert_eq!(listed[1]["approvedBy"], "DNS");
    // A removed domain admits no new members; existing members stay.
    let path = format!("{DOMAINS}/globex.example");
    assert_eq!(admin.send(Method::DELETE, &path).await.status, 204);
    app.signed_in("linus").await;
}

// R7
#[tokio::test]
async fn a_txt_record_verifies_a_domain_only_for_the_workspace_it_was_issued_to() {
    let app = TestApp::start().await;
    let (pool, random) = (app.database.pool(), Randomness::default());
    let other = app.workspace("other", &[]).await;
    let domain = "globex.example";
    let ours = domain::claim(pool, app.workspace, Purpose::Access, domain, &random)
        .await
        .unwrap();
    domain::claim(pool, other, Purpose::Access, domain, &random)
        .await
        .unwrap();
    let name_server = Records(Ok(vec![ours.record_value.clone()]));
    // A record value that another workspace reads in the DNS does not help it.
    let theirs = proof::verify_by_record(
        pool,
        &name_server,
        Actor::Operator,
        other,
        Purpose::Access,
        domain,
    )
    .await;
    assert!(matches!(theirs, Err(VerificationError::NoRecord { .. })));
    // Nor does a record for sign-ins verify a custom domain.
    let host = proof::verify_by_record(
        pool,
        &name_server,
        Actor::Operator,
        app.workspace,
        Purpose::Host,
        domain,
    )
    .await;
    assert!(matches!(host, Err(VerificationError::NoClaim)));
    proof::verify_by_record(
        pool,
        &name_server,
        Actor::Operator,
        app.workspace,
        Purpose::Access,
        domain,
    )
    .await
    .unwrap();
    let (approved,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM auth.approved_access_domain WHERE domain = 'globex.example'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(approved, 1);
}

// R7
#[tokio::test]
async fn unresponsive_name_servers_verify_nothing_and_keep_the_claim() {
    let app = TestApp::start().await;
    let (pool, random) = (app.database.pool(), Randomness::default());
    let domain = "globex.example";
    let claim = domain::claim(pool, app.workspace, Purpose::Access, domain, &random)
        .await
        .unwrap();
    let silent = Records(Err(DnsError("timed out".to_owned())));
    let result = proof::verify_by_record(
        pool,
        &silent,
        Actor::Operator,
        app.workspace,
        Purpose::Access,
        domain,
    )
    .await;
    assert!(matches!(result, Err(VerificationError::Dns(_))));
    // A repeated claim keeps the record value, which may be published already.
    let again = domain::claim(pool, app.workspace, Purpose::Access, domain, &random)
        .await
        .unwrap();
    assert_eq!(again.record_value, claim.record_value);
    // An expired claim cannot be verified, even with its record.
    sqlx::query("UPDATE auth.domain_claim SET expires_at = now()")
        .execute(pool)
        .await
        .unwrap();
    let late = Records(Ok(vec![claim.record_value]));
    let result = proof::verify_by_record(
        pool,
        &late,
        Actor::Operator,
        app.workspace,
        Purpose::Access,
        domain,
    )
    .await;
    assert!(matches!(result, Err(VerificationError::NoClaim)));
}

// R7, WP11
#[tokio::test]
async fn a_consumer_mail_domain_is_refused() {
    let app = TestApp::start().await;
    let mut admin = app.signed_in("ada").await.json();
    for (domain, code) in [
        ("gmail.com", "consumer_domain"),
        ("Outlook.com", "consumer_domain"),
        ("yahoo.co.uk", "consumer_domain"),
        ("*.acme.example", "invalid_parameter"),
    ] {
        let response = admin
            .send_json(Method::POST, DOMAINS, &json!({ "domain": domain }))
            .await;
        assert_eq!((response.status, response.code().as_str()), (400, code));
    }
}
