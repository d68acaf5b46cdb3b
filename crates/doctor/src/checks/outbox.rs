//! Events that are not published yet.

use time::Duration;

use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::words::long;
use crate::world::World;

/// Of the alert LatchkeyEventsNotPublished.
const MOST_AGE: Duration = Duration::minutes(2);

/// The outbox of a service that has events.
#[derive(Debug, Clone)]
struct Lag {
    service: String,
    events: i64,
    oldest: Duration,
}

pub(crate) async fn check(world: &World) -> Outcome {
    let lags = look(world).await?;
    let line = |lag: &Lag| {
        let oldest = long(lag.oldest);
        format!(
            "{}: {} events, the oldest of {oldest} ago",
            lag.service, lag.events
        )
    };
    let mut seen: Vec<String> = lags.iter().map(line).collect();
    if seen.is_empty() {
        seen.push("empty".to_owned());
    }
    Ok(Looked {
        seen,
        findings: lags.iter().filter_map(judge).collect(),
        detail: None,
    })
}

async fn look(world: &World) -> Result<Vec<Lag>, NotLooked> {
    let rows: Vec<(String, i64, f64)> = sqlx::query_as(
        "SELECT service, count(*), extract(epoch FROM clock_timestamp() - min(created_at))::float8
         FROM operators.outbox GROUP BY service ORDER BY service",
    )
    .fetch_all(world.pool().await?)
    .await
    .map_err(|error| NotLooked::of_statement(&error))?;
    let lag = |(service, events, seconds)| Lag {
        service,
        events,
        oldest: Duration::seconds_f64(seconds),
    };
    Ok(rows.into_iter().map(lag).collect())
}

fn judge(lag: &Lag) -> Option<Finding> {
    (lag.oldest >= MOST_AGE).then(|| Finding::OutboxWaits {
        service: lag.service.clone(),
        events: lag.events,
        oldest: lag.oldest,
    })
}
