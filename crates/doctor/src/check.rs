//! The checks, and running them.

use std::future::Future;
use std::time::Duration;

use futures::future::join_all;

use crate::check_id::CheckId;
use crate::checks::{
    broker, certificates, client_credentials, clock, database, discovery, entry_point, environment,
    failures, front_end, migrations, outbox, person, providers, queues, redirect_uris,
    sealing_keys, versions,
};
use crate::finding::Finding;
use crate::outcome::{Looked, Outcome};
use crate::progress::Progress;
use crate::runbook::Runbook;
use crate::world::World;

/// Longest time of one check. They run at the same time.
const DEADLINE: Duration = Duration::from_secs(8);

/// Runs every check and returns what each saw.
pub(crate) async fn run_all(world: &World, progress: &Progress) -> Vec<(CheckId, Outcome)> {
    let runs = CheckId::ALL.into_iter().map(|check| async move {
        let outcome = Box::pin(within(check, run(check, world))).await;
        progress.ended(check);
        (check, outcome)
    });
    join_all(runs).await
}

async fn run(check: CheckId, world: &World) -> Outcome {
    match check {
        CheckId::Environment => Ok(environment::check(world)),
        CheckId::Clock => clock::check(world).await,
        CheckId::Database => database::check(world).await,
        CheckId::Migrations => migrations::check(world).await,
        CheckId::SealingKeys => sealing_keys::check(world).await,
        CheckId::Broker => broker::check(world).await,
        CheckId::Certificates => certificates::check(world).await,
        CheckId::Providers => providers::check(world),
        CheckId::Discovery => discovery::check(world).await,
        CheckId::RedirectUris => redirect_uris::check(world).await,
        CheckId::ClientCredentials => client_credentials::check(world).await,
        CheckId::Versions => versions::check(world).await,
        CheckId::EntryPoint => entry_point::check(world).await,
        CheckId::FrontEnd => front_end::check(world).await,
        CheckId::Queues => queues::check(world).await,
        CheckId::Outbox => outbox::check(world).await,
        CheckId::Failures => failures::check(world).await,
        CheckId::Person => person::check(world).await,
    }
}

/// Gives a check up after its deadline.
async fn within(check: CheckId, running: impl Future<Output = Outcome>) -> Outcome {
    let ended = tokio::time::timeout(DEADLINE, running).await;
    ended.unwrap_or_else(|_| {
        Ok(Looked {
            findings: vec![no_answer(check)],
            ..Looked::default()
        })
    })
}

fn no_answer(check: CheckId) -> Finding {
    Finding {
        code: "no_answer",
        runbook: Runbook::Database,
        problem: format!("{check}: did not answer in time"),
        looked_at: format!("the check \"{check}\", for its whole deadline"),
        remedy:
            "run doctor again; if it is the same, look at the load of the database, the broker \
                 or the provider that this check asks"
                .to_owned(),
    }
}
