//! No statement of the services costs more when there are more accounts.

use std::collections::BTreeSet;

use latchkey_plans::{Finding, Statement, Testbed, finding, grouped, is_periodic, judge};
use latchkey_servers::silent;

/// So many that a plan without a suitable index reads far more than a person has.
const ACCOUNTS: u64 = 20_000;
/// People who sign in. The first execution of a connection also reads the catalogue, so the medians need
/// some.
const PEOPLE: usize = 8;

/// Tables that do not grow with the number of accounts: rows are deleted when they are handled, or
/// there is one row, or a few for each workspace that changes its domains.
const SMALL: [&str; 9] = [
    "auth.domain_claim",
    "auth.outbox",
    "auth.readiness",
    "auth.workspace_metadata",
    "sync.outbox",
    "sync.readiness",
    "vault.disconnect_request",
    "vault.outbox",
    "vault.readiness",
];

/// Indexes that a sign-in, a token, a disconnect, the look-up of a session, a sign-out or the sweep
/// of channels needs.
const INDEXES: [&str; 14] = [
    "app_user_pkey",
    "approved_access_domain_domain",
    "channel_account_id_kind_key",
    "channel_sweep",
    "connected_account_pkey",
    "credential_pkey",
    "identity_provider_issuer_subject_key",
    "replaced_grant_account",
    "refresh_family_pkey",
    "refresh_token_pkey",
    "session_provider_session",
    "session_secret_hash_key",
    "session_user_id",
    "workspace_member_pkey",
];

/// What drops an index, and a part of a statement that must be found without it.
const LOST: [(&str, &str); 3] = [
    (
        "ALTER TABLE auth.session DROP CONSTRAINT session_secret_hash_key",
        "secret_hash = $1",
    ),
    (
        "DROP INDEX auth.session_provider_session",
        "provider_session = $",
    ),
    (
        "DROP INDEX vault.replaced_grant_account",
        "vault.replaced_grant",
    ),
];

async fn measured(
    testbed: &mut Testbed,
    growing: &BTreeSet<String>,
) -> anyhow::Result<(Vec<Statement>, Vec<Finding>)> {
    let statements = grouped(testbed.measure(PEOPLE).await?.all());
    let findings = judge(&statements, growing);
    let of_events = |finding: &Finding| !is_periodic(&finding.text);
    Ok((statements, findings.into_iter().filter(of_events).collect()))
}

fn listed(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_of_an_event_or_a_call_reads_a_table_and_a_lost_index_is_found()
-> anyhow::Result<()> {
    let mut testbed = Testbed::start("plans", &silent()).await?;
    testbed.grow(ACCOUNTS).await?;
    let small = testbed.small().await?;
    assert_eq!(
        small,
        BTreeSet::from(SMALL.map(str::to_owned)),
        "a new table needs rows in sql/accounts.sql, or a place in this list"
    );
    let growing = testbed.growing().await?;
    let (statements, findings) = measured(&mut testbed, &growing).await?;
    assert!(findings.is_empty(), "{}", listed(&findings));
    let used = finding::indexes(&statements);
    let missing: Vec<&str> = INDEXES
        .into_iter()
        .filter(|index| !used.contains(index))
        .collect();
    assert!(missing.is_empty(), "not used: {missing:?} of {used:?}");

    for (drop, _) in LOST {
        sqlx::raw_sql(drop).execute(testbed.stack.pool()).await?;
    }
    let (_, findings) = measured(&mut testbed, &growing).await?;
    for (drop, part) in LOST {
        let is_found = findings.iter().any(|finding| finding.text.contains(part));
        assert!(is_found, "{drop}: {}", listed(&findings));
    }
    Ok(())
}
