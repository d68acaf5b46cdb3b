use crate::support::{World, eventually};

const WEEKS: &str = "SELECT count(*) FROM vault.audit_partitions() WHERE is_whole";

// R36: the role of the service may append to the audit and create no table.
#[tokio::test]
async fn a_replica_creates_the_partitions_of_the_audit_ahead() {
    let world = World::new().await;
    sqlx::raw_sql(
        "DO $$
         DECLARE part text;
         BEGIN
             SELECT name INTO STRICT part FROM vault.audit_partitions() WHERE is_whole
             ORDER BY until DESC LIMIT 1;
             EXECUTE format('DROP TABLE vault.%I', part);
         END
         $$",
    )
    .execute(world.pool())
    .await
    .unwrap();
    let weeks = async || -> i64 {
        let count = sqlx::query_scalar(WEEKS).fetch_one(world.pool());
        count.await.unwrap()
    };
    let before = weeks().await;
    let (_replica, _client) = world.served().await;
    eventually(async || (weeks().await > before).then_some(())).await;
}
