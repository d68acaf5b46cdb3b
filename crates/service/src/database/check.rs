use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::health::Check;

/// Within this time the previous result is returned: the endpoint is public, and each check is a
/// write.
const SAME_ANSWER: Duration = Duration::from_secs(1);

/// A readiness check that succeeds while the database commits a write in the schema of the
/// service. A read would also succeed on a standby, without migrations, and while commits hang.
#[derive(Debug)]
pub struct DatabaseCheck {
    pool: PgPool,
    write: &'static str,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl DatabaseCheck {
    /// A check that executes the statement `write`.
    pub fn new(pool: PgPool, write: &'static str) -> Self {
        Self {
            pool,
            write,
            last: Mutex::new(None),
        }
    }
}

#[async_trait]
impl Check for DatabaseCheck {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, outcome)) = &*last
            && at.elapsed() < SAME_ANSWER
        {
            return outcome.clone();
        }
        // If the caller gives up, no result is remembered.
        *last = None;
        let written = sqlx::query(self.write).execute(&self.pool).await;
        let outcome = match written {
            Ok(done) if done.rows_affected() == 0 => Err("nothing was written".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        *last = Some((Instant::now(), outcome.clone()));
        outcome
    }
}
