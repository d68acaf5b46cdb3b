use auth_svc::store::cleanup;
use latchkey_service::database::SWEEP_WINDOW;
use latchkey_testkit::{Role, TestDatabase};
use sqlx::PgPool;

const TABLES: [&str; 7] = [
    "auth.session",
    "auth.refresh_family",
    "auth.refresh_token",
    "auth.handover_code",
    "auth.logout_token",
    "auth.personal_invite",
    "auth.spent_flow",
];

const PERSON: &str = "
    INSERT INTO auth.workspace (id, name)
    VALUES ('00000000-0000-0000-0000-000000000001', 'Acme');
    INSERT INTO auth.app_user (id, email)
    VALUES ('00000000-0000-0000-0000-000000000002', 'ada@acme.example')";

/// What a week leaves. A fifth of the sessions is signed out of.
const WEEK: &str = "
    INSERT INTO auth.session (id, secret_hash, user_id, workspace_id, expires_at, revoked_at)
    SELECT gen_random_uuid(), sha256(random()::text::bytea), u.id, w.id, now() + interval '10 days',
           CASE WHEN n % 5 = 0 THEN now() + interval '1 day' END
    FROM generate_series(1, 50) n, auth.app_user u, auth.workspace w;
    INSERT INTO auth.refresh_family (id, session_id, held_by)
    SELECT gen_random_uuid(), id, 'COOKIE' FROM auth.session WHERE created_at = now();
    INSERT INTO auth.refresh_token (token_hash, family_id, expires_at)
    SELECT sha256(random()::text::bytea), id, now() + interval '12 days'
    FROM auth.refresh_family WHERE created_at = now();
    INSERT INTO auth.handover_code (code_hash, session_id, origin, expires_at)
    SELECT sha256(random()::text::bytea), id, 'https://app.example', now() + interval '1 min'
    FROM auth.session WHERE created_at = now();
    INSERT INTO auth.logout_token (provider, issuer, token_id, expires_at)
    SELECT 'google', 'https://issuer.example', gen_random_uuid()::text, now() + interval '1 day'
    FROM generate_series(1, 50);
    INSERT INTO auth.personal_invite (token_hash, workspace_id, email, expires_at)
    SELECT sha256(random()::text::bytea), w.id, n || '@acme.example', now() + interval '7 days'
    FROM generate_series(1, 50) n, auth.workspace w;
    INSERT INTO auth.spent_flow (flow_id, expires_at)
    SELECT gen_random_uuid(), now() + interval '10 min' FROM generate_series(1, 50);";

/// The number of rows of each table.
async fn sizes(pool: &PgPool) -> Vec<i64> {
    let mut sizes = Vec::new();
    for table in TABLES {
        let count = format!("SELECT count(*) FROM {table}");
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(count));
        sizes.push(count.fetch_one(pool).await.unwrap());
    }
    sizes
}

// R14: nothing that a sign-in writes stays for ever. The role of the service deletes it.
#[tokio::test]
async fn the_tables_of_sign_ins_stay_flat_over_a_simulated_year() {
    /// The longest that a row is kept: an invitation of a week, and 30 days.
    const LONGEST: usize = 6;
    let database = TestDatabase::create().await;
    let own = PgPool::connect(&database.url(Role::Auth)).await.unwrap();
    sqlx::raw_sql(PERSON)
        .execute(database.pool())
        .await
        .unwrap();
    let mut steady = Vec::new();
    for week in 1..=52 {
        sqlx::raw_sql(WEEK).execute(database.pool()).await.unwrap();
        database.let_pass("7 days", &TABLES).await;
        cleanup::sweep(&own).await.unwrap();
        let sizes = sizes(database.pool()).await;
        if week == LONGEST {
            // What is kept for a while is there, and what is not is gone.
            assert_eq!(
                sizes.iter().map(|rows| *rows > 0).collect::<Vec<_>>(),
                [true, true, true, false, false, true, false],
                "{sizes:?}"
            );
            steady.clone_from(&sizes);
        }
        if week >= LONGEST {
            assert_eq!(sizes, steady, "week {week}");
        }
    }
    own.close().await;
}

// R14: an idle session is found wherever it is in the table, and a session in use stays.
#[tokio::test]
async fn idle_sessions_are_found_in_every_window_of_the_table() {
    let database = TestDatabase::create().await;
    let own = PgPool::connect(&database.url(Role::Auth)).await.unwrap();
    let sessions = format!(
        "{PERSON};
         INSERT INTO auth.session
             (id, secret_hash, user_id, workspace_id, expires_at, last_seen_at, sealed_id_token)
         SELECT gen_random_uuid(), sha256(random()::text::bytea), u.id, w.id,
                now() + interval '1 year',
                now() - CASE n % 3 WHEN 0 THEN interval '60 days' WHEN 1 THEN interval '15 days'
                                   ELSE interval '1 hour' END,
                'v1.test.sealed'
         FROM generate_series(1, {}) n, auth.app_user u, auth.workspace w",
        SWEEP_WINDOW * 3
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sessions))
        .execute(database.pool())
        .await
        .unwrap();
    cleanup::sweep(&own).await.unwrap();
    let left: (i64, i64) =
        sqlx::query_as("SELECT count(*), count(sealed_id_token) FROM auth.session")
            .fetch_one(database.pool())
            .await
            .unwrap();
    assert_eq!(left, (SWEEP_WINDOW * 2, SWEEP_WINDOW));
    own.close().await;
}
