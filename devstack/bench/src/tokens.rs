//! `cargo dev bench tokens`: runs all measurements in their order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use latchkey_demo_provider::Flavour;
use latchkey_servers::Progress;

use crate::comparison::{Comparison, Target, measure, median};
use crate::machine::resident;
use crate::options::Options;
use crate::report::{Memory, Report};
use crate::storm::{self, Storm};
use crate::testbed::{Client, RunningService, Testbed};
use crate::{load, machine, report};

/// Number of replicas in a storm.
const REPLICAS: usize = 3;
/// Number of connections to each replica.
const PER_REPLICA: usize = 8;
/// Number of callers in a storm that is small enough for the machine.
const FEW_CALLERS: usize = 100;
/// Number of repetitions of the shortest storm: p99 of only a hundred calls is the second
/// slowest one.
const REPETITIONS: usize = 10;
/// Number of expired accounts in the storms on many accounts, and of callers for each.
const EXPIRED: usize = 1_000;
const CALLERS_OF_EXPIRED: usize = 5;
/// Number of storms on many accounts, of which the median is shown: other load of the machine
/// makes single ones slow.
const STORMS_ON_MANY: u64 = 5;
/// After this time a replica may send as many requests at once as `REFRESH_RATE` allows in a second.
const RATE_RECOVERS: Duration = Duration::from_secs(1);
/// Rate of the open loop as a fraction of refresh-svc's maximum rate.
const OPEN_SHARE: f64 = 0.5;

/// Runs all measurements and writes the report.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let begun = Instant::now();
    let progress = report::timed_progress(begun);
    let testbed = Testbed::start(&progress).await?;
    let load_before = machine::load();
    let (memory, closed, open) = compare(&testbed, options, &progress).await?;
    let storms = if options.no_storms {
        Vec::new()
    } else {
        storms(&testbed, options, &progress).await?
    };
    let report = Report {
        accounts: options.accounts(),
        connections: options.connections,
        memory,
        closed,
        open,
        storms,
        loads: (load_before, machine::load()),
        took: begun.elapsed(),
    };
    report::write(&report, options.report)
}

async fn compare(
    testbed: &Testbed,
    options: &Options,
    progress: &Progress,
) -> anyhow::Result<(Memory, Comparison, Comparison)> {
    progress(&format!("sealing {} accounts", options.accounts()));
    let accounts = Arc::new(testbed.add_valid(options.accounts()).await?);
    let null = testbed.null_service().await?;
    let refresh_svc = testbed
        .refresh_svc(&refresh_svc_program()?, "refresh-svc")
        .await?;
    let target = async |service| -> anyhow::Result<Target<'_>> {
        let service: &RunningService = service;
        let clients = testbed.connections(service.address, options.connections);
        Ok(Target {
            service,
            clients: clients.await?,
        })
    };
    let (null, refresh_svc) = (target(&null).await?, target(&refresh_svc).await?);

    // Connections, buffers and pools exist before the memory is measured.
    let one = Arc::new(accounts.iter().take(1).copied().collect::<Vec<_>>());
    load::closed(&refresh_svc.clients, &one, options.warm_up() * 2, 1).await?;
    let before = resident(refresh_svc.service.process)?;
    progress("requesting a token of every account once");
    let cold = Instant::now();
    let refused = load::get_each_token(&refresh_svc.clients, &accounts, 4).await?;
    anyhow::ensure!(refused == 0, "{refused} tokens were refused");
    let memory = Memory {
        before,
        after: resident(refresh_svc.service.process)?,
        cold: cold.elapsed(),
    };

    progress("closed loop: both services in turn");
    let closed = measure(&null, &refresh_svc, &accounts, None, options).await?;
    let rate = OPEN_SHARE
        * median(
            closed
                .refresh_svc
                .rounds
                .iter()
                .map(load::Measurement::rate),
        );
    progress(&format!("open loop: both services at {rate:.0} calls/s"));
    let open = measure(&null, &refresh_svc, &accounts, Some(rate), options).await?;
    Ok((memory, closed, open))
}

async fn storms(
    testbed: &Testbed,
    options: &Options,
    progress: &Progress,
) -> anyhow::Result<Vec<Storm>> {
    let program = refresh_svc_program()?;
    let mut replicas: Vec<RunningService> = Vec::new();
    for number in 0..REPLICAS {
        let name = format!("refresh-svc-{number}");
        replicas.push(testbed.refresh_svc(&program, &name).await?);
    }
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..PER_REPLICA {
        for replica in &replicas {
            clients.push(testbed.connect(replica.address).await?);
        }
    }
    let one = async |callers, provider| {
        let account = testbed.add_expired(Flavour::Google, 1).await?;
        storm::run(testbed, &clients, &account, callers, provider).await
    };
    // The first refreshes of a process read the provider's discovery document and open
    // connections to the database.
    for _ in 0..REPETITIONS {
        one(FEW_CALLERS, Duration::ZERO).await?;
    }
    let mut storms = Vec::new();
    for callers in [FEW_CALLERS, options.callers()] {
        for seconds in options.latencies() {
            progress(&format!(
                "storm: {callers} callers, the provider takes {seconds} s"
            ));
            let provider = Duration::from_secs(*seconds);
            let mut storm = one(callers, provider).await?;
            if callers == FEW_CALLERS && provider.is_zero() {
                for _ in 1..REPETITIONS {
                    storm.add(&one(callers, provider).await?)?;
                }
            }
            storms.push(storm);
        }
    }
    let mut on_many = Vec::new();
    for number in 1..=STORMS_ON_MANY {
        progress(&format!(
            "storm {number} of {STORMS_ON_MANY}: many expired accounts"
        ));
        let accounts = testbed.add_expired(Flavour::Google, EXPIRED).await?;
        tokio::time::sleep(RATE_RECOVERS).await;
        let callers = EXPIRED * CALLERS_OF_EXPIRED;
        on_many.push(storm::run(testbed, &clients, &accounts, callers, Duration::ZERO).await?);
    }
    storms.extend(storm::median(on_many));
    Ok(storms)
}

/// Returns the path of refresh-svc, which is next to this program.
pub fn refresh_svc_program() -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe()?;
    let path = me.with_file_name("refresh-svc");
    anyhow::ensure!(
        path.is_file(),
        "{} is not built: run `cargo dev bench tokens`",
        path.display()
    );
    path.canonicalize().context("refresh-svc")
}
