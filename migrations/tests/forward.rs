//! Every migration runs forward on a filled database, and the statements that operators
//! of the replaced system know still work.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod filling;

use filling::migrate_while_filling;
use latchkey_migrations::MIGRATOR;
use latchkey_testkit::{PATIENCE, Role, TestDatabase};
use sqlx::postgres::PgListener;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// The tables that the rows of `filled/` are inserted into. No table may lose its row.
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
    "auth.workspace_metadata",
    "sync.inbox",
    "sync.connected_account",
    "sync.message_channel",
    "sync.calendar_channel",
    "sync.grant_death",
    "vault.credential",
    "vault.replaced_grant",
    "vault.audit",
];

/// A database that had rows while it was migrated.
async fn migrated_while_filled() -> TestDatabase {
    let database = TestDatabase::create_empty().await;
    migrate_while_filling(&database, i64::MAX).await;
    database
}

/// A database with the migrations before this version.
async fn migrated_before(version: i64) -> TestDatabase {
    let database = TestDatabase::create_empty().await;
    let last = MIGRATOR.iter().rfind(|one| one.version < version).unwrap();
    MIGRATOR
        .run_to(last.version, database.pool())
        .await
        .unwrap();
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

// R7: domains that were approved before stay approved, and a workspace has an
// administrator.
#[tokio::test]
async fn the_first_member_becomes_the_administrator_and_domains_stay_approved_by_the_operator() {
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

/// A connection in the role `latchkey_operator`, with the schema of the views closed to
/// `PUBLIC`.
async fn operator(database: &TestDatabase) -> PgConnection {
    sqlx::raw_sql("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        .execute(database.pool())
        .await
        .unwrap();
    let mut connection = PgConnection::connect(&database.url(Role::Owner))
        .await
        .unwrap();
    sqlx::raw_sql("SET ROLE latchkey_operator")
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

/// The value of the row of domains, and the approved domains with who approved them.
async fn list(database: &TestDatabase) -> (Option<String>, String) {
    sqlx::query_as(
        r#"SELECT (SELECT string_agg(value, ' ') FROM "workspaceMetadata" WHERE key = 'approvedAccessDomains'),
                  (SELECT coalesce(string_agg(domain || ' ' || approved_by, ', ' ORDER BY domain), '')
                   FROM auth.approved_access_domain)"#,
    )
    .fetch_one(database.pool())
    .await
    .unwrap()
}

// R7, R25
#[tokio::test]
async fn the_row_of_domains_shows_and_changes_the_list_that_is_in_force() {
    let database = TestDatabase::create().await;
    sqlx::raw_sql(
        "INSERT INTO auth.workspace (id, name)
         VALUES ('00000000-0000-0000-0000-000000000001', 'Acme');
         INSERT INTO auth.approved_access_domain (workspace_id, domain, approved_by)
         VALUES ('00000000-0000-0000-0000-000000000001', 'acme.example', 'DNS'),
                ('00000000-0000-0000-0000-000000000001', 'acme.test', 'OPERATOR')",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let mut operator = operator(&database).await;
    for (statement, value, let_in) in [
        // The row exists although nobody inserted it.
        (
            r#"UPDATE "workspaceMetadata" SET key = key"#,
            Some(r#"["acme.example", "acme.test"]"#),
            "acme.example DNS, acme.test OPERATOR",
        ),
        (
            r#"UPDATE "workspaceMetadata" SET value = 'B.example, acme.example'"#,
            Some(r#"["acme.example", "b.example"]"#),
            "acme.example DNS, b.example OPERATOR",
        ),
        (r#"UPDATE "workspaceMetadata" SET key = 'k'"#, None, ""),
        (
            r#"UPDATE "workspaceMetadata" SET key = 'approvedAccessDomains', value = 'c.example'"#,
            Some(r#"["c.example"]"#),
            "c.example OPERATOR",
        ),
        (
            r#"UPDATE "workspaceMetadata" SET value = '[]'"#,
            Some("[]"),
            "",
        ),
        (
            r#"UPDATE "workspaceMetadata" SET value = '{d.example}'"#,
            Some(r#"["d.example"]"#),
            "d.example OPERATOR",
        ),
        (r#"DELETE FROM "workspaceMetadata""#, None, ""),
    ] {
        let changed = sqlx::query(statement).execute(&mut operator).await.unwrap();
        assert_eq!(changed.rows_affected(), 1, "{statement}");
        let (is, are) = list(&database).await;
        assert_eq!(
            (is.as_deref(), are.as_str()),
            (value, let_in),
            "{statement}"
        );
    }
}

// R7, R25
#[tokio::test]
async fn a_second_row_of_domains_replaces_the_first_and_another_workspaces_stays() {
    const INSERT: &str = r#"INSERT INTO "workspaceMetadata"
        ("id", "workspaceId", "key", "value", "createdAt", "updatedAt")
        VALUES (gen_random_uuid(), $1::uuid, 'approvedAccessDomains', $2, $3::timestamptz, $3::timestamptz)
        RETURNING id::text, value, "createdAt" = $3::timestamptz, "updatedAt" = $3::timestamptz"#;
    let database = TestDatabase::create().await;
    let [acme, other] = ["1", "2"].map(|n| format!("00000000-0000-0000-0000-00000000000{n}"));
    sqlx::query(
        "INSERT INTO auth.workspace (id, name) SELECT id, 'W' FROM unnest($1::uuid[]) AS id",
    )
    .bind(format!("{{{acme},{other}}}"))
    .execute(database.pool())
    .await
    .unwrap();
    let mut operator = operator(&database).await;
    let mut insert = async |workspace: &str, value: &str, at: &str| {
        sqlx::query_as::<_, (String, String, bool, bool)>(INSERT)
            .bind(workspace.to_owned())
            .bind(value.to_owned())
            .bind(at.to_owned())
            .fetch_one(&mut operator)
            .await
    };
    let first = insert(&acme, r#"["a.example"]"#, "2026-11-01 10:00Z")
        .await
        .unwrap();
    insert(&other, "o.example", "2026-11-02 10:00Z")
        .await
        .unwrap();
    let second = insert(&acme, r#"["c.example", "b.example"]"#, "2026-11-03 10:00Z")
        .await
        .unwrap();
    assert_eq!(first.1, r#"["a.example"]"#);
    assert_eq!((first.2, first.3), (true, true));
    assert_eq!(second.0, first.0, "the row stays itself");
    assert_eq!(second.1, r#"["b.example", "c.example"]"#);
    assert_eq!(
        (second.2, second.3),
        (false, true),
        "made once, changed now"
    );
    let (_, let_in) = list(&database).await;
    assert_eq!(
        let_in,
        "b.example OPERATOR, c.example OPERATOR, o.example OPERATOR"
    );

    let nowhere = "00000000-0000-0000-0000-000000000009";
    let refused = insert(nowhere, "a.example", "2026-11-03 10:00Z")
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("there is no workspace 0000"),
        "{refused}"
    );
}

// R7: the value is refused with a message, and nothing changes.
#[tokio::test]
async fn a_value_that_is_not_a_list_of_domains_is_refused() {
    let database = migrated_while_filled().await;
    let before = list(&database).await;
    let mut operator = operator(&database).await;
    for wrong in [
        Some("company"),
        Some("*.company.com"),
        Some("@company.com"),
        Some("ada@company.com"),
        Some("https://company.com"),
        Some("company.com."),
        Some("-a.com"),
        Some("a..com"),
        Some("a_b.com"),
        Some("a b.com"),
        Some("b\u{fc} cher.example"),
        Some("a\u{ff20}b.com"),
        Some(r#"["company.com", 1]"#),
        Some(r#"{"domains": ["company.com"]}"#),
        Some("null"),
        Some("true"),
        Some(""),
        Some(" , "),
        Some(r#"[""]"#),
        None,
    ] {
        let refused = sqlx::query(
            r#"INSERT INTO "workspaceMetadata" (key, value) VALUES ('approvedAccessDomains', $1)"#,
        )
        .bind(wrong)
        .execute(&mut operator)
        .await
        .unwrap_err();
        let said = refused.to_string();
        assert!(
            said.contains(r#""value" must be a list of domains"#),
            "{wrong:?}: {said}"
        );
        assert_eq!(list(&database).await, before, "{wrong:?}");
    }
}

// R25: an operator's own views and grants on the compatibility views do not stop the
// migration, and it keeps them.
#[tokio::test]
async fn views_of_operators_on_the_compatibility_views_stay() {
    let database = migrated_before(20_261_126_009_000).await;
    sqlx::raw_sql(
        r#"CREATE VIEW own AS
               SELECT a.handle, m."syncStatus", w.value
               FROM "connectedAccount" a JOIN "messageChannel" m ON m."connectedAccountId" = a.id
               CROSS JOIN "workspaceMetadata" w;
           GRANT SELECT ON "connectedAccount" TO latchkey_auth"#,
    )
    .execute(database.pool())
    .await
    .unwrap();
    latchkey_migrations::run(database.pool()).await.unwrap();
    let granted: bool = sqlx::query_scalar(
        r#"SELECT bool_and(has_table_privilege(who, what, how))
           FROM (VALUES ('latchkey_auth', '"connectedAccount"', 'SELECT'),
                        ('latchkey_operator', '"connectedAccount"', 'SELECT'),
                        ('latchkey_operator', '"messageChannel"', 'SELECT'),
                        ('latchkey_operator', '"calendarChannel"', 'SELECT'),
                        ('latchkey_operator', '"workspaceMetadata"', 'SELECT'),
                        ('latchkey_operator', '"workspaceMetadata"', 'INSERT'),
                        ('latchkey_operator', '"workspaceMetadata"', 'UPDATE'),
                        ('latchkey_operator', '"workspaceMetadata"', 'DELETE')) AS g (who, what, how)"#,
    )
    .fetch_one(database.pool())
    .await
    .unwrap();
    assert!(granted);
}

// R7: a domain is the same in every form in which it is written.
#[tokio::test]
async fn an_international_domain_is_stored_in_its_ascii_form_by_every_writer() {
    let database = TestDatabase::create().await;
    for (written, stored) in [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("bu\u{308}cher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("bücher。example", "xn--bcher-kva.example"),
        ("ｂücher．example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("почта.рф", "xn--80a1acny.xn--p1ai"),
        ("παράδειγμα.gr", "xn--hxajbheg2az3al.gr"),
        ("ليهمابتكلموشعربي؟", "xn--egbpdaj6bu4bxfgehfvwxn"),
        ("3年b組金八先生", "xn--3b-ww4c5e180e575a65lsy2b"),
        ("\u{1f600}.example", "xn--e28h.example"),
        ("acme.example", "acme.example"),
    ] {
        let ascii: String = sqlx::query_scalar("SELECT auth.domain_ascii($1)")
            .bind(written)
            .fetch_one(database.pool())
            .await
            .unwrap();
        assert_eq!(ascii, stored, "{written}");
        // The services convert it in the same way.
        if let Ok(name) = written.parse::<latchkey_domain::DomainName>() {
            assert_eq!(name.as_str(), stored, "{written}");
        }
    }
    sqlx::raw_sql(
        r#"INSERT INTO auth.workspace (name) VALUES ('Acme');
           INSERT INTO "workspaceMetadata" (key, value)
           VALUES ('approvedAccessDomains', '["Bücher.example", "xn--bcher-kva.example", "Ünal.example"]')"#,
    )
    .execute(database.pool())
    .await
    .unwrap();
    let domains: Vec<String> =
        sqlx::query_scalar("SELECT domain FROM auth.approved_access_domain ORDER BY domain")
            .fetch_all(database.pool())
            .await
            .unwrap();
    assert_eq!(domains, ["xn--bcher-kva.example", "xn--nal-goa.example"]);
}

// R19: existing addresses count as verified only if an identity proves it.
#[tokio::test]
async fn existing_handles_are_verified_if_an_identity_proves_it() {
    let database = migrated_before(20_261_126_003_000).await;
    sqlx::raw_sql(
        "INSERT INTO auth.workspace (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'A');
         INSERT INTO auth.approved_access_domain (workspace_id, domain)
         VALUES ('00000000-0000-0000-0000-000000000001', 'bücher.example'),
                ('00000000-0000-0000-0000-000000000001', 'xn--bcher-kva.example');
         INSERT INTO auth.app_user (id, email)
         VALUES ('00000000-0000-0000-0000-000000000002', 'ada@bücher.example');
         INSERT INTO auth.identity (id, user_id, provider, issuer, subject, email, email_verified)
         SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000002', 'google', 'i', subject,
                email, verified
         FROM (VALUES ('verified', 'ada@bücher.example', true),
                      ('denied', 'ada@bücher.example', false),
                      ('other', 'bo@bücher.example', true)) AS v (subject, email, verified);
         INSERT INTO sync.connected_account
             (id, workspace_id, user_id, provider, issuer, subject, handle, last_authenticated_at)
         SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001',
                '00000000-0000-0000-0000-000000000002', 'google', 'i', subject,
                'ada@bücher.example', now()
         FROM unnest('{verified,denied,other,connected}'::text[]) AS subject;
         INSERT INTO vault.credential
             (account_id, workspace_id, user_id, provider, issuer, subject, handle,
              granted_scopes, authenticated_at)
         SELECT id, workspace_id, user_id, provider, issuer, subject, handle, '{}', now()
         FROM sync.connected_account",
    )
    .execute(database.pool())
    .await
    .unwrap();
    latchkey_migrations::run(database.pool()).await.unwrap();
    let vouched: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT a.subject, a.vouched_handle, c.vouched_handle
         FROM sync.connected_account a JOIN vault.credential c ON c.account_id = a.id
         WHERE a.handle = 'ada@xn--bcher-kva.example' AND c.handle = a.handle
         ORDER BY a.subject",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    let ada = Some("ada@xn--bcher-kva.example".to_owned());
    assert_eq!(
        vouched,
        [
            ("connected".to_owned(), None, None),
            ("denied".to_owned(), None, None),
            ("other".to_owned(), None, None),
            ("verified".to_owned(), ada.clone(), ada),
        ]
    );
    let domains: Vec<String> = sqlx::query_scalar("SELECT domain FROM auth.approved_access_domain")
        .fetch_all(database.pool())
        .await
        .unwrap();
    assert_eq!(domains, ["xn--bcher-kva.example"]);
}

/// The channels that a table or view shows, as JSON without `kind`.
async fn channels(database: &TestDatabase, relation: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT jsonb_agg(to_jsonb(c) - 'kind' ORDER BY id)::text FROM {relation} c"
    )))
    .fetch_one(database.pool())
    .await
    .unwrap()
}

// R25: the views of operators show the same rows, and so do the previous version's names.
#[tokio::test]
async fn one_table_of_channels_keeps_every_value_of_both_kinds() {
    const NAMES: [&str; 4] = [
        "sync.message_channel",
        "sync.calendar_channel",
        r#""messageChannel""#,
        r#""calendarChannel""#,
    ];
    let database = migrated_before(20_261_127_010_000).await;
    // One account has both kinds, and one of each kind has the defaults.
    sqlx::raw_sql(
        "INSERT INTO sync.connected_account
             (id, workspace_id, user_id, provider, issuer, subject, handle, last_authenticated_at)
         SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, gen_random_uuid(),
                gen_random_uuid(), 'google', 'i', n::text, n || '@acme.example', now()
         FROM generate_series(1, 3) AS n;
         INSERT INTO sync.message_channel (id, account_id, sync_status, sync_stage)
         VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000002', 'NOT_SYNCED',
                 'PENDING_CONFIGURATION');
         INSERT INTO sync.calendar_channel (id, account_id, sync_status, sync_stage)
         VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000003', 'FAILED_UNKNOWN',
                 'FAILED');
         INSERT INTO sync.message_channel
             (id, account_id, sync_status, sync_stage, sync_stage_started_at, sync_cursor,
              synced_at, visibility, visibility_chosen_at, contact_auto_creation_policy,
              message_folder_import_policy, exclude_non_professional_emails,
              exclude_group_emails, throttle_failure_count, throttle_retry_after, generation,
              last_failure, created_at)
         VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'ACTIVE',
                 'MESSAGES_IMPORT_ONGOING', '2026-11-01 01:00Z', 'm', '2026-11-01 02:00Z',
                 'SUBJECT', '2026-11-01 03:00Z', 'SENT_AND_RECEIVED', 'SELECTED_FOLDERS', false,
                 false, 4, '2026-11-01 05:00Z', 6, 'mail', '2026-11-01 07:00Z');
         INSERT INTO sync.calendar_channel
             (id, account_id, sync_status, sync_stage, sync_stage_started_at, sync_cursor,
              synced_at, visibility, visibility_chosen_at, contact_auto_creation_policy,
              throttle_failure_count, throttle_retry_after, generation, last_failure, created_at)
         VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'ONGOING',
                 'CALENDAR_EVENTS_IMPORT_PENDING', '2026-11-02 01:00Z', 'c', '2026-11-02 02:00Z',
                 'METADATA', '2026-11-02 03:00Z', 'AS_ORGANIZER', 5, '2026-11-02 06:00Z', 7,
                 'calendar', '2026-11-02 08:00Z')",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let mut before = Vec::new();
    for name in NAMES {
        before.push(channels(&database, name).await);
    }
    latchkey_migrations::run(database.pool()).await.unwrap();
    for (name, before) in NAMES.into_iter().zip(before) {
        assert_eq!(channels(&database, name).await, before, "{name}");
    }
}

// R20, R21: a replica of the previous version uses two views, which were tables.
#[tokio::test]
async fn the_previous_version_reads_and_writes_channels_through_the_names_of_its_tables() {
    let database = TestDatabase::create().await;
    let mut connection = PgConnection::connect(&database.url(Role::Sync))
        .await
        .unwrap();
    sqlx::raw_sql(
        "INSERT INTO sync.connected_account
             (id, workspace_id, user_id, provider, issuer, subject, handle, last_authenticated_at)
         VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'google', 'i', 's',
                 'ada@acme.example', now())",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let mut rows = async |statement: String| {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .map(|done| done.rows_affected())
    };
    let (mail, calendar) = (
        "MESSAGE_LIST_FETCH_PENDING",
        "CALENDAR_EVENT_LIST_FETCH_PENDING",
    );
    for (view, stage, other) in [
        ("message_channel", mail, calendar),
        ("calendar_channel", calendar, mail),
    ] {
        let insert = format!(
            "INSERT INTO sync.{view}
                 (id, account_id, sync_status, sync_stage, sync_stage_started_at, generation,
                  last_failure)
             SELECT gen_random_uuid(), id, 'ONGOING', '{stage}', now(), 1, NULL
             FROM sync.connected_account"
        );
        let allowed = [
            insert.clone(),
            format!(
                "UPDATE sync.{view}
                 SET sync_status = 'ACTIVE', sync_stage = '{stage}', sync_stage_started_at = now(),
                     sync_cursor = '{view}', synced_at = now(), throttle_failure_count = 1,
                     throttle_retry_after = now(), generation = 2, last_failure = 'x'
                 WHERE id IN (SELECT id FROM sync.{view})"
            ),
            format!(
                "UPDATE sync.{view} SET visibility = 'METADATA', visibility_chosen_at = now()
                 WHERE visibility_chosen_at IS NULL"
            ),
            format!("SELECT id FROM sync.{view} WHERE generation = 2 FOR UPDATE"),
            format!(
                "SELECT c.id FROM sync.{view} c
                 JOIN sync.connected_account a ON a.id = c.account_id
                 LEFT JOIN sync.sync_job j
                     ON j.channel_id = c.id AND j.generation = c.generation
                 WHERE c.sync_status IN ('ONGOING', 'ACTIVE')"
            ),
        ];
        for statement in allowed {
            let found = rows(statement.clone()).await.unwrap();
            assert_eq!(found, 1, "{statement}");
        }
        for (statement, constraint) in [
            (insert, "channel_account_id_kind_key"),
            (
                format!("UPDATE sync.{view} SET sync_stage = '{other}'"),
                "channel_sync_stage_check",
            ),
        ] {
            let refused = rows(statement).await.unwrap_err().to_string();
            assert!(refused.contains(constraint), "{refused}");
        }
    }
    let subject = "UPDATE sync.calendar_channel SET visibility = 'SUBJECT'";
    let refused = rows(subject.to_owned()).await.unwrap_err().to_string();
    assert!(refused.contains("channel_visibility_check"), "{refused}");
    let stored: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws(' ', kind, sync_cursor, visibility, contact_auto_creation_policy,
                          message_folder_import_policy, exclude_non_professional_emails,
                          exclude_group_emails)
         FROM sync.channel ORDER BY kind",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    assert_eq!(
        stored,
        [
            "CALENDAR calendar_channel METADATA AS_PARTICIPANT_AND_ORGANIZER",
            "MESSAGE message_channel METADATA SENT ALL_FOLDERS t t",
        ]
    );
}

// R35: each role may use its own schema, and of the others only what it needs.
#[tokio::test]
async fn a_service_reads_no_table_of_another_service() {
    let database = TestDatabase::create().await;
    let refused = [
        (Role::Auth, "SELECT * FROM vault.credential"),
        (Role::Auth, "SELECT * FROM vault.replaced_grant"),
        (Role::Auth, "SELECT * FROM sync.connected_account"),
        (Role::Sync, "SELECT * FROM auth.session"),
        (Role::Refresh, "SELECT * FROM auth.session"),
        (Role::Refresh, "DELETE FROM vault.credential"),
        (Role::Sync, "DELETE FROM vault.credential"),
        (Role::Refresh, "DELETE FROM vault.audit"),
        (Role::Refresh, "UPDATE vault.audit SET reason = NULL"),
        (Role::Refresh, "SELECT * FROM vault.audit"),
        (Role::Refresh, "SELECT * FROM vault.audit_first"),
        (
            Role::Refresh,
            "SELECT vault.audit_prune(interval '1 year', 1)",
        ),
        (Role::Sync, "SELECT vault.audit_prepare()"),
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

// R36: only people delete audit records, only old ones, and the deletion is recorded.
#[tokio::test]
async fn only_old_audit_records_are_deleted_and_the_deletion_is_recorded() {
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

// R27: this holds for every writer, including replicas of the previous version.
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

// R21: a replica of the previous version replaces both tokens and does not know the
// columns of the refresh token's origin.
#[tokio::test]
async fn the_origin_of_a_refresh_token_is_deleted_with_it() {
    let database = migrated_while_filled().await;
    for (change, kept) in [
        // A rotation of the same grant keeps the origin; another grant deletes it.
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

/// Bytes in the form of an envelope that this key sealed.
fn envelope(key: &str) -> Vec<u8> {
    let length = u8::try_from(key.len()).unwrap();
    [&[1, length][..], key.as_bytes(), &[0; 48]].concat()
}

// R35: the columns are filled for stored tokens, and every writer keeps them true.
#[tokio::test]
async fn the_key_id_of_a_sealed_token_is_in_a_column() {
    const MIGRATION: i64 = 20_261_127_020_000;
    let database = TestDatabase::create_empty().await;
    let before = MIGRATOR.iter().rfind(|one| one.version < MIGRATION);
    MIGRATOR
        .run_to(before.unwrap().version, database.pool())
        .await
        .unwrap();
    sqlx::query(
        "WITH stored AS (
             INSERT INTO vault.credential
                 (account_id, workspace_id, user_id, provider, issuer, subject, handle,
                  sealed_access_token, sealed_refresh_token, granted_scopes, authenticated_at)
             VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'google', 'i', '1',
                     'ada@acme.example', 'sealed', $1, '{}', now())
             RETURNING account_id)
         INSERT INTO vault.replaced_grant (account_id, sealed_refresh_token)
         SELECT account_id, $2::bytea FROM stored",
    )
    .bind(envelope("k1"))
    .bind(envelope("k.2"))
    .execute(database.pool())
    .await
    .unwrap();
    latchkey_migrations::run(database.pool()).await.unwrap();
    let key_ids = async || -> [Option<String>; 3] {
        let row: (Option<String>, Option<String>, Option<String>) = sqlx::query_as(
            "SELECT c.access_token_key_id, c.refresh_token_key_id, r.refresh_token_key_id
             FROM vault.credential c JOIN vault.replaced_grant r USING (account_id)",
        )
        .fetch_one(database.pool())
        .await
        .unwrap();
        row.into()
    };
    let ids = |ids: [&str; 3]| ids.map(|id| Some(id.to_owned()));
    assert_eq!(key_ids().await, ids(["(none)", "k1", "k.2"]));

    // Statements of the previous version, in the roles of the services.
    let mut sync = PgConnection::connect(&database.url(Role::Sync))
        .await
        .unwrap();
    sqlx::query("UPDATE vault.credential SET sealed_access_token = $1, version = version + 1")
        .bind(envelope("k3"))
        .execute(&mut sync)
        .await
        .unwrap();
    let mut refresh = PgConnection::connect(&database.url(Role::Refresh))
        .await
        .unwrap();
    sqlx::query("UPDATE vault.replaced_grant SET sealed_refresh_token = $1")
        .bind(envelope("k4"))
        .execute(&mut refresh)
        .await
        .unwrap();
    assert_eq!(key_ids().await, ids(["k3", "k1", "k4"]));
    sqlx::query("UPDATE vault.credential SET sealed_refresh_token = NULL")
        .execute(&mut refresh)
        .await
        .unwrap();
    assert_eq!(key_ids().await[1], None);
}

// R37: no writer numbers its changes. Replicas of the previous version listen to the channel
// whose payload is only the account.
#[tokio::test]
async fn a_change_that_is_notified_has_the_next_number_of_its_account() {
    const ACCOUNT: &str = "00000000-0000-0000-0000-00000000000a";
    let database = migrated_while_filled().await;
    let mut listener = PgListener::connect_with(database.pool()).await.unwrap();
    listener
        .listen_all(["latchkey_credential", "latchkey_credential_change"])
        .await
        .unwrap();
    let mut number = 0;
    for (change, is_notified) in [
        ("version = version + 1", true),
        ("forced_at = now()", false),
        (
            "lease_holder = gen_random_uuid(), lease_until = now()",
            false,
        ),
        ("lease_holder = NULL, lease_until = NULL", true),
        ("retry_after = now()", true),
        ("sealed_access_token = 'resealed'", false),
        ("auth_failed_at = now(), retry_after = NULL", true),
        ("handle = 'grace@acme.example'", false),
        (
            "sealed_access_token = NULL, sealed_refresh_token = NULL, erased_at = now()",
            true,
        ),
    ] {
        let statement = format!("UPDATE vault.credential SET {change} RETURNING change_number");
        let stored: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_one(database.pool())
            .await
            .unwrap();
        number += i64::from(is_notified);
        assert_eq!(stored, number, "{change}");
        if !is_notified {
            continue;
        }
        // Notifications arrive in the order of the changes: there was none in between.
        for (channel, payload) in [
            ("latchkey_credential_change", format!("{ACCOUNT} {number}")),
            ("latchkey_credential", ACCOUNT.to_owned()),
        ] {
            let received = tokio::time::timeout(PATIENCE, listener.recv());
            let received = received.await.unwrap().unwrap();
            assert_eq!(
                (received.channel(), received.payload()),
                (channel, payload.as_str())
            );
        }
    }
}

#[tokio::test]
async fn a_new_credential_notifies_nobody_and_its_first_change_is_notified() {
    const COPIED: &str = "workspace_id, user_id, provider, subject, sealed_access_token,
        sealed_refresh_token, granted_scopes, authenticated_at";
    let database = migrated_while_filled().await;
    let mut listener = PgListener::connect_with(database.pool()).await.unwrap();
    listener.listen("latchkey_credential_change").await.unwrap();
    let insert = format!(
        "INSERT INTO vault.credential (account_id, issuer, handle, {COPIED})
         SELECT gen_random_uuid(), 'https://other.example', handle, {COPIED}
         FROM vault.credential RETURNING account_id::text"
    );
    let account: String = sqlx::query_scalar(AssertSqlSafe(insert))
        .fetch_one(database.pool())
        .await
        .unwrap();
    sqlx::query("UPDATE vault.credential SET version = version + 1 WHERE account_id = $1::uuid")
        .bind(&account)
        .execute(database.pool())
        .await
        .unwrap();
    let received = tokio::time::timeout(PATIENCE, listener.recv());
    let received = received.await.unwrap().unwrap();
    assert_eq!(received.payload(), format!("{account} 1"));
}

#[tokio::test]
async fn a_row_of_an_outbox_notifies_nobody() {
    let database = migrated_while_filled().await;
    let mut listener = PgListener::connect_with(database.pool()).await.unwrap();
    for schema in ["auth", "sync", "vault"] {
        let channel = format!("latchkey_outbox_{schema}");
        listener.listen(&channel).await.unwrap();
        let insert = format!(
            "INSERT INTO {schema}.outbox
                 (event_id, exchange, routing_key, event_type, subject, payload)
             VALUES (gen_random_uuid(), 'latchkey.events', 'k', 't', 's', '')"
        );
        sqlx::query(AssertSqlSafe(insert))
            .execute(database.pool())
            .await
            .unwrap();
        sqlx::query("SELECT pg_notify($1, 'by the test')")
            .bind(&channel)
            .execute(database.pool())
            .await
            .unwrap();
        // Notifications arrive in the order of the commits: there was none in between.
        let received = tokio::time::timeout(PATIENCE, listener.recv());
        let received = received.await.unwrap().unwrap();
        assert_eq!(
            (received.channel(), received.payload()),
            (channel.as_str(), "by the test")
        );
    }
}
