//! Whether each database can be reached, with its role and password.

use futures::future::join_all;
use sqlx::postgres::PgConnectOptions;

use crate::database::{DatabaseProblem, connect, target};
use crate::finding::{CheckId, Finding};
use crate::outcome::{Looked, Outcome};
use crate::world::{Source, World};

struct Seen {
    source: String,
    target: String,
    problem: Option<DatabaseProblem>,
}

pub(crate) async fn check(world: &World) -> Outcome {
    let databases = world.databases();
    if databases.is_empty() {
        return Err(world.without_variable("DATABASE_URL", CheckId::Environment));
    }
    let seen = databases.iter().enumerate();
    let seen =
        join_all(seen.map(|(position, (source, options))| look(world, position, source, options)));
    let seen = seen.await;
    Ok(Looked {
        seen: seen.iter().map(|seen| seen.target.clone()).collect(),
        findings: seen.into_iter().filter_map(judge).collect(),
        detail: None,
    })
}

async fn look(world: &World, position: usize, source: &Source, options: &PgConnectOptions) -> Seen {
    let problem = if position == 0 {
        world
            .connect_database(options)
            .await
            .as_ref()
            .err()
            .cloned()
    } else {
        connect(options).await.err()
    };
    Seen {
        source: source.name.clone(),
        target: target(options),
        problem,
    }
}

fn judge(seen: Seen) -> Option<Finding> {
    Some(Finding::Database {
        source: seen.source,
        target: seen.target,
        problem: seen.problem?,
    })
}
