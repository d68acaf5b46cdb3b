//! Every migration runs forward on a filled database, and what the operators of
//! the replaced system type still works.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use std::path::Path;

use latchkey_migrations::MIGRATOR;
use latchkey_testkit::{Role, TestDatabase};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Tables that the rows of `filled/` go to: none may lose one.
const FILLED: &[&str] = &[
    "auth.outbox",
    "auth.workspace",
    "auth.approved_access_domain",
    "auth.app_user",
    "auth.identity",
    "auth.workspace_member",
    "auth.session",
    "auth.refresh_family",
    "auth.refresh_token",
    "auth.handover_code",
    "auth.domain_claim",
    "auth.personal_invite",
    "sync.inbox",
    "sync.connected_account",
    "sync.message_channel",
    "sync.calendar_channel",
    "sync.grant_death",
    "vault.credential",
    "vault.audit",
];

/// Applies the migrations one by one and fills what each of them made.
async fn migrated_while_filled() -> TestDatabase {
    let database = TestDatabase::create_empty().await;
    for migration in MIGRATOR.iter() {
        MIGRATOR
            .run_to(migration.version, database.pool())
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", migration.description));
        let rows = Path::new("tests/filled").join(format!("{}.sql", migration.version));
        if let Ok(rows) = std::fs::read_to_string(rows) {
            sqlx::raw_sql(AssertSqlSafe(rows))
                .execute(database.pool())
                .await
                .unwrap();
        }
    }
    database
}

#[tokio::test]
async fn every_migration_runs_forward_on_a_filled_database_and_keeps_its_rows() {
    let database = migrated_while_filled().await;
    for table in FILLED {
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(database.pool())
            .await
            .unwrap();
        assert_eq!(rows, 1, "{table}");
    }
}

// R7: what was approved before stands, and somebody can go on from there.
#[tokio::test]
async fn who_joined_first_administers_and_approved_domains_stay_the_operators_word() {
    let database = migrated_while_filled().await;
    let (role, by): (String, String) = sqlx::query_as(
        "SELECT (SELECT role FROM auth.workspace_member),
                (SELECT approved_by FROM auth.approved_access_domain)",
    )
    .fetch_one(database.pool())
    .await
    .unwrap();
    assert_eq!((role.as_str(), by.as_str()), ("ADMIN", "OPERATOR"));
}

#[tokio::test]
async fn several_migrators_at_once_are_safe() {
    let database = TestDatabase::create_empty().await;
    let (a, b, c) = tokio::join!(
        latchkey_migrations::run(database.pool()),
        latchkey_migrations::run(database.pool()),
        latchkey_migrations::run(database.pool()),
    );
    a.and(b).and(c).unwrap();
}

// R25
#[tokio::test]
async fn the_troubleshooting_queries_work_as_they_stand_and_show_no_token() {
    let database = migrated_while_filled().await;
    let (id, handle, provider, has_token): (sqlx::types::Uuid, String, String, bool) = sqlx::query_as(
        r#"SELECT id, handle, provider, "accessToken" IS NOT NULL FROM "connectedAccount" WHERE handle = $1"#,
    )
    .bind("ada@acme.example")
    .fetch_one(database.pool())
    .await
    .unwrap();
    assert_eq!(
        (handle.as_str(), provider.as_str(), has_token),
        ("ada@acme.example", "google", true)
    );

    let status: String = sqlx::query_scalar(
        r#"SELECT "syncStatus"::text FROM (SELECT id, "syncStatus" FROM "messageChannel" WHERE "connectedAccountId" = $1) AS c"#,
    )
    .bind(id)
    .fetch_one(database.pool())
    .await
    .unwrap();
    assert_eq!(status, "ONGOING");

    let shown: String = sqlx::query_scalar(r#"SELECT "accessToken" FROM "connectedAccount""#)
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(shown, "[sealed]");
}

// R25
#[tokio::test]
async fn the_allowlist_is_set_by_a_workspace_metadata_row_in_every_spelling() {
    let database = migrated_while_filled().await;
    for value in [
        r#"["company.com","company.co"]"#,
        "company.com, Company.co",
        "{company.com,company.co}",
    ] {
        sqlx::query(
            r#"INSERT INTO "workspaceMetadata" (key, value) VALUES ('approvedAccessDomains', $1)"#,
        )
        .bind(value)
        .execute(database.pool())
        .await
        .unwrap();
        let domains: Vec<String> =
            sqlx::query_scalar("SELECT domain FROM auth.approved_access_domain ORDER BY domain")
                .fetch_all(database.pool())
                .await
                .unwrap();
        assert_eq!(domains, ["company.co", "company.com"], "{value}");
    }
}

// R35: each role reaches its own schema and no more than the path of the data needs.
#[tokio::test]
async fn a_service_reads_no_table_of_another_service() {
    let database = TestDatabase::create().await;
    let refused = [
        (Role::Auth, "SELECT * FROM vault.credential"),
        (Role::Auth, "SELECT * FROM sync.connected_account"),
        (Role::Sync, "SELECT * FROM auth.session"),
        (Role::Refresh, "SELECT * FROM auth.session"),
        (Role::Refresh, "DELETE FROM vault.credential"),
        (Role::Sync, "DELETE FROM vault.credential"),
        (Role::Refresh, "DELETE FROM vault.audit"),
        (Role::Refresh, "UPDATE vault.audit SET reason = NULL"),
        (Role::Refresh, "SELECT * FROM vault.audit"),
        (Role::Refresh, "SELECT vault.audit_prune(interval '1 year')"),
    ];
    for (role, statement) in refused {
        let mut connection = PgConnection::connect(&database.url(role)).await.unwrap();
        let error = sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("permission denied"),
            "{role:?}: {statement}: {error}"
        );
    }
}

// R36: the audit is taken away by people, not soon, and not in silence.
#[tokio::test]
async fn audit_records_go_only_when_they_are_old_and_leave_a_trace() {
    let database = migrated_while_filled().await;
    let mut connection = database.pool().acquire().await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO vault.audit (id, at, caller, method, outcome)
         VALUES (gen_random_uuid(), now() - interval '400 days', 'a', 'GetAccessToken', 'GIVEN');
         SET ROLE latchkey_operator",
    )
    .execute(&mut *connection)
    .await
    .unwrap();
    let prune = async |keep: &str, connection: &mut PgConnection| {
        sqlx::query_scalar::<_, i64>("SELECT vault.audit_prune($1::interval)")
            .bind(keep)
            .fetch_one(connection)
            .await
    };
    assert!(prune("29 days", &mut connection).await.is_err());
    assert_eq!(prune("365 days", &mut connection).await.unwrap(), 1);
    let left: Vec<String> =
        sqlx::query_scalar("SELECT outcome FROM vault.audit ORDER BY at, outcome")
            .fetch_all(&mut *connection)
            .await
            .unwrap();
    assert_eq!(left, ["GIVEN", "PRUNED"]);
    sqlx::raw_sql("RESET ROLE")
        .execute(&mut *connection)
        .await
        .unwrap();
}

// R27: for every writer, a replica of the previous version among them.
#[tokio::test]
async fn no_writer_clears_the_time_of_a_disconnect() {
    let database = migrated_while_filled().await;
    let mut kept = Vec::new();
    for change in [
        "erased_at = '2026-11-26 08:00Z', sealed_access_token = NULL, sealed_refresh_token = NULL",
        "erased_at = NULL, sealed_refresh_token = 'new', authenticated_at = now()",
        "not_before = NULL",
        "not_before = '2026-11-26 07:00Z'",
        "not_before = '2026-11-26 09:00Z'",
    ] {
        let statement = format!("UPDATE vault.credential SET {change} RETURNING not_before::text");
        let not_before: String = sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_one(database.pool())
            .await
            .unwrap();
        kept.push(not_before[11..13].to_owned());
    }
    assert_eq!(kept[..4], vec![kept[0].clone(); 4][..]);
    assert_ne!(kept[4], kept[0]);
}

// R21: a replica of the previous version replaces the whole grant and does not
// know where the refresh token came from.
#[tokio::test]
async fn the_origin_of_a_refresh_token_goes_with_it() {
    let database = migrated_while_filled().await;
    for (change, kept) in [
        // A rotation of the same grant keeps it, another grant does not.
        (
            "refresh_authenticated_at = '2026-11-26 07:00Z', refresh_scopes = '{mail}'",
            true,
        ),
        (
            "sealed_refresh_token = 'rotated', version = version + 1",
            true,
        ),
        (
            "sealed_refresh_token = 'other', authenticated_at = '2026-11-26 09:00Z'",
            false,
        ),
    ] {
        let statement =
            format!("UPDATE vault.credential SET {change} RETURNING refresh_scopes IS NOT NULL");
        let known: bool = sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_one(database.pool())
            .await
            .unwrap();
        assert_eq!(known, kept, "{change}");
    }
}
