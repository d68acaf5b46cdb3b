use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::health::Check;

/// Whoever asks again so soon gets the same answer: anybody may ask, and each
/// look is a write.
const SAME_ANSWER: Duration = Duration::from_secs(1);

/// Ready while the database gives a connection and commits a write in the
/// service's own schema. A standby, a schema that is not migrated and a commit
/// that hangs read as well as ever.
#[derive(Debug)]
pub struct DatabaseCheck {
    pool: PgPool,
    write: &'static str,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl DatabaseCheck {
    /// A check with the statement that writes.
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
        // Where the caller gives up, nothing is remembered.
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
