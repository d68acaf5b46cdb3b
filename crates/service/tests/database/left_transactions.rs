use std::time::Duration;

use latchkey_service::database::BoundedConnection;
use latchkey_testkit::{Proxy, Role, TestDatabase};
use sqlx::PgPool;
use tokio::time::timeout;

use crate::pool_at;

/// How late the answer to `BEGIN` is. The test of a returned connection waits longer.
const LATE: Duration = Duration::from_millis(600);

/// The next statement over the pool has a transaction of its own.
async fn is_outside_of_a_transaction(pool: &PgPool) -> bool {
    // `now()` is the time when the transaction began.
    let (transaction, statement): (time::OffsetDateTime, time::OffsetDateTime) =
        sqlx::query_as("SELECT now(), clock_timestamp()")
            .fetch_one(pool)
            .await
            .unwrap();
    statement - transaction < LATE / 2
}

// R31: what is written after that would be lost without an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_user_left_while_a_transaction_began_is_never_used_again() {
    let database = TestDatabase::create().await;
    let (proxy, through) = Proxy::in_front_of(&database.url(Role::Auth)).await.unwrap();
    let pool = pool_at(&through);
    for end in [drop, BoundedConnection::return_untested] {
        let mut connection = BoundedConnection::acquire(&pool).await.unwrap();

        proxy.delay_responses(b"BEGIN", LATE, 1);
        let is_left = timeout(LATE / 4, connection.begin()).await.is_err();
        assert!(is_left, "the answer is late");
        end(connection);

        assert!(is_outside_of_a_transaction(&pool).await);
    }
}
