//! Why one person's mailbox does not sync.

use crate::support::{Deployment, EVERY_SCOPE, assert_cause, assert_healthy, codes};

const ADA: [&str; 2] = ["--email", "ada@acme.example"];

// R42
#[tokio::test]
async fn somebody_who_never_signed_in_is_judged_by_the_domain() {
    let deployment = Deployment::start().await;
    let report = deployment.examine(&ADA).await;
    assert_healthy(&report);
    assert!(report.to_string().contains("never signed in"), "{report}");
    assert!(
        report.to_string().contains("Acme: let in, by the domain"),
        "{report}"
    );
}

// R42 R34
#[tokio::test]
async fn a_grant_that_the_provider_ended_is_named_with_its_class() {
    let deployment = Deployment::start().await;
    deployment.person("ada@acme.example", &EVERY_SCOPE).await;
    deployment
        .sql(
            "UPDATE vault.credential SET auth_failed_at = now(),
                                         failure_class = 'INVALID_REFRESH_TOKEN'",
        )
        .await;
    let report = deployment.examine(&ADA).await;
    let first_line = ["grant of ada@acme.example", "INVALID_REFRESH_TOKEN"];
    assert_cause(&report, "grant_dead", &first_line, "signs in again");
    let runbook = "docs/runbook.md#invalid_refresh_token";
    assert!(report.to_string().contains(runbook), "{report}");
}

// R42 R28
#[tokio::test]
async fn a_channel_that_waits_for_a_worker_is_named() {
    let deployment = Deployment::start().await;
    deployment.person("ada@acme.example", &EVERY_SCOPE).await;
    deployment
        .sql(
            "UPDATE sync.channel
             SET sync_status = 'ONGOING', sync_stage = 'MESSAGE_LIST_FETCH_SCHEDULED',
                 sync_stage_started_at = now() - interval '3 hours'
             WHERE kind = 'MESSAGE'",
        )
        .await;
    let report = deployment.examine(&ADA).await;
    let first_line = [
        "mail channel of ada@acme.example",
        "MESSAGE_LIST_FETCH_SCHEDULED for 3 h",
    ];
    assert_cause(
        &report,
        "channel_waits",
        &first_line,
        "start the sync worker",
    );
}

// R42: the last calls about an account, for tokens and about its channels.
#[tokio::test]
async fn the_last_events_of_an_account_are_shown() {
    let deployment = Deployment::start().await;
    deployment.person("ada@acme.example", &EVERY_SCOPE).await;
    for (schema, method) in [("vault", "GetAccessToken"), ("sync", "ReportSync")] {
        deployment
            .sql(&format!(
                "INSERT INTO {schema}.audit (id, at, caller, method, account_id, outcome, reason)
                 SELECT gen_random_uuid(), now() - age, 'mail-worker', '{method}', a.id, 'REFUSED',
                        'REASON_' || days
                 FROM sync.connected_account a,
                      (VALUES (interval '1 hour', 'NEW'), (interval '8 days', 'OLD')) AS v (age, days)"
            ))
            .await;
    }
    let report = deployment.examine(&ADA).await;
    assert_healthy(&report);
    let text = report.to_string();
    for line in [
        "mail-worker GetAccessToken REFUSED REASON_NEW",
        "mail-worker ReportSync REFUSED REASON_NEW",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("REASON_OLD"), "{text}");
}

// R42
#[tokio::test]
async fn an_account_that_does_not_appear_is_traced_to_the_outbox() {
    let deployment = Deployment::start().await;
    deployment.person("ada@acme.example", &EVERY_SCOPE).await;
    deployment
        .sql(
            "DELETE FROM sync.connected_account;
             INSERT INTO sync.outbox (event_id, exchange, routing_key, event_type, subject, payload,
                                      created_at)
             VALUES (gen_random_uuid(), 'latchkey.events', 'account.connected.v1', 't', 's', '',
                     now() - interval '1 hour')",
        )
        .await;
    let report = deployment.examine(&ADA).await;
    let first_line = ["1 event waits in the outbox of sync-svc", "60 min"];
    assert_cause(
        &report,
        "outbox_waits",
        &first_line,
        "outbox relay starts again",
    );
    assert_eq!(codes(&report), ["outbox_waits", "no_account"], "{report}");
}

// R42: people of .co cannot sign in, because the front end's link asks for .com alone.
#[tokio::test]
async fn a_link_that_shows_only_accounts_of_another_domain_is_named() {
    let deployment = Deployment::start().await;
    deployment.workspace("Globex", &["globex.example"]).await;
    let link = format!("{}/?hd=acme.example", deployment.entry_point);
    let arguments = ["--email", "linus@globex.example", "--entry-point", &link];
    let report = deployment.examine(&arguments).await;
    let first_line = ["linus@globex.example", "hd=acme.example"];
    assert_cause(
        &report,
        "hosted_domain",
        &first_line,
        "take hd out of the link",
    );
}

// R42: a role of a service may not see what an operator may see, and doctor says so.
#[tokio::test]
async fn the_role_of_a_service_is_not_enough() {
    let deployment = Deployment::start().await;
    let url = deployment.database.url(latchkey_testkit::Role::Auth);
    let report = deployment
        .examine_with(&ADA, &[("DATABASE_URL", &url)])
        .await;
    assert_healthy(&report);
    assert!(
        report
            .to_string()
            .contains("use a login role in latchkey_operator"),
        "{report}"
    );
}
