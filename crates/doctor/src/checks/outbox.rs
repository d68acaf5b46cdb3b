//! Events that are not published yet.

use time::Duration;

use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::wording::{counted, long};
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
            "{}: {}, the oldest {oldest} old",
            lag.service,
            counted(lag.events, "event", "events")
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
    let service = &lag.service;
    let wait = counted(lag.events, "event waits", "events wait");
    (lag.oldest >= MOST_AGE).then(|| Finding {
        code: "outbox_waits",
        runbook: Runbook::Outbox,
        problem: format!(
            "{wait} in the outbox of {service}, the oldest for {}",
            long(lag.oldest)
        ),
        looked_at: format!("the outbox of {service}"),
        remedy: format!(
            "read the log of {service}: \"outbox relay starts again\" has the error of the broker"
        ),
    })
}
