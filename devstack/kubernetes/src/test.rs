//! `cargo dev kubernetes test`: what the server accepts, what the network policies allow, and changes
//! of the deployment under load. During each change people sign in and services ask for tokens;
//! nothing may fail, get lost or be done twice. An error of a test is its result: the others still run.

mod case;
mod cases;
mod clients;
mod edges;
mod load;
mod logs;
mod metrics_api;
mod overlays;
mod people;
mod report;

use std::path::Path;
use std::time::Duration;

use devstack::polling::eventually;
use devstack::walkthrough::account_of;
use latchkey_servers::Progress;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::rates::Rates;
use crate::session::{Goal, Previous, Session};
use crate::sign_in;
use crate::stack::{Stack, explain};
use case::{Case, Expected};
use load::Load;
use people::People;
use report::{Report, Row};

/// Load before the change, and after its end.
const MARGIN: Duration = Duration::from_secs(5);
/// How long sync-svc may take to create the accounts of the last sign-ins.
const SETTLE: Duration = Duration::from_mins(1);
/// People whose tokens are asked for.
const CALLED: usize = 20;
/// Attempts of one of them to sign in, because the demo provider may have just been started.
const ATTEMPTS: usize = 5;
/// After as many failed attempts to restore the deployment the other tests are left out.
const RESTORATIONS: usize = 2;

/// Returns `true` if a test needs the previous release.
pub fn needs_previous(words: &[String]) -> bool {
    cases::UPGRADES
        .iter()
        .any(|case| is_wanted(case.name, words))
}

/// Returns the commands that start the previous release instead of this one, if a test needs it.
pub fn start_commands(goal: &Goal) -> Option<&'static str> {
    match goal {
        Goal::Test {
            previous: Previous::Built { .. },
            ..
        } => Some(cases::START_PREVIOUS),
        _ => None,
    }
}

/// Writes the overlay of the tests into a directory of overlays.
///
/// # Errors
/// A file cannot be written.
pub fn write_overlay(overlays: &Path) -> anyhow::Result<()> {
    cases::write_overlay(overlays)
}

fn is_wanted(name: &str, words: &[String]) -> bool {
    words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
}

/// Runs the tests whose name contains one of the words, or all. Prints each result, and a table.
/// Returns the exit code, which is 0 only if every test succeeded.
///
/// # Errors
/// No test has such a name.
pub async fn run(
    session: &Session,
    stack: &Stack,
    words: &[String],
    previous: &Previous,
    rates: Rates,
    progress: &Progress,
) -> anyhow::Result<i32> {
    let wanted = |case: &&Case| is_wanted(case.name, words);
    let upgrades: Vec<&Case> = cases::UPGRADES.iter().filter(wanted).collect();
    let cases: Vec<&Case> = cases::all().filter(wanted).collect();
    let has_edges = is_wanted(edges::NAME, words);
    let has_overlays = is_wanted(overlays::NAME, words);
    anyhow::ensure!(
        has_overlays || has_edges || !upgrades.is_empty() || !cases.is_empty(),
        "no test has such a name"
    );

    let previous = match &stack.deployment.start_error {
        Some(error) => Previous::Failed(format!("it does not start: {error}")),
        None => previous.clone(),
    };
    let previous = &previous;
    let kubectl = &stack.cluster.kubectl;
    let mut report = Report::default();
    if has_overlays {
        progress(overlays::NAME);
        let row = overlays::run(kubectl, &stack.deployment).await;
        report.add(row_of(overlays::NAME, row), progress);
    }
    let prepared = match prepare(session, stack, previous, progress).await {
        Ok(prepared) => prepared,
        Err(error) => {
            let error = error.context("the deployment could not be prepared");
            let edges = has_edges.then_some(edges::NAME);
            let others = upgrades.iter().chain(&cases).map(|case| case.name);
            for name in edges.into_iter().chain(others) {
                report.add(Row::failed(name, &error), progress);
            }
            return Ok(1);
        }
    };
    let mut runner = Runner {
        stack,
        prepared: &prepared,
        rates,
        progress,
        is_broken: false,
        failed_restorations: 0,
    };
    for case in upgrades {
        progress(case.name);
        let row = match previous {
            Previous::Built { .. } => runner.run(case).await,
            Previous::Failed(why) => Row::failed(case.name, &anyhow::Error::msg(why.clone())),
            Previous::Missing | Previous::Unneeded => {
                Row::left_out(case.name, "no previous release")
            }
        };
        report.add(row, progress);
    }
    if matches!(previous, Previous::Built { .. }) {
        progress("this release");
        runner.is_broken |= change(stack, cases::APPLY).await.is_err();
    }
    if has_edges {
        progress(edges::NAME);
        let row = edges::run(session, kubectl).await;
        report.add(row_of(edges::NAME, row), progress);
    }
    for case in cases {
        progress(case.name);
        let row = runner.run(case).await;
        report.add(row, progress);
    }
    Ok(i32::from(!report.is_green()))
}

/// Returns the row of a test; an error is its result.
fn row_of(name: &'static str, row: anyhow::Result<Row>) -> Row {
    row.unwrap_or_else(|error| Row::failed(name, &error))
}

/// What the changes of the deployment need.
struct Prepared {
    accounts: Vec<Uuid>,
    people: People,
    _serving: JoinSet<()>,
}

/// Applies the overlay of the tests, serves metrics, keeps logs, and signs in the people whose tokens
/// are asked for.
async fn prepare(
    session: &Session,
    stack: &Stack,
    previous: &Previous,
    progress: &Progress,
) -> anyhow::Result<Prepared> {
    progress("two replicas of each service, without a rate limit");
    write_overlay(&stack.deployment.overlays())?;
    let apply = match previous {
        Previous::Built { .. } => cases::APPLY_PREVIOUS,
        _ => cases::APPLY,
    };
    let applied = change(stack, apply).await;
    explain(applied, &stack.cluster, progress).await?;
    let mut serving = JoinSet::new();
    metrics_api::serve(stack, &mut serving).await?;
    serving.spawn(logs::keep(session.logs()));
    let people = People::new(&stack.services)?;
    progress(&format!(
        "{CALLED} people sign in, whose tokens are asked for"
    ));
    Ok(Prepared {
        accounts: connect(stack, &people).await?,
        people,
        _serving: serving,
    })
}

/// Runs tests one after the other, and restores the deployment after one that has failed.
struct Runner<'a> {
    stack: &'a Stack,
    prepared: &'a Prepared,
    rates: Rates,
    progress: &'a Progress,
    is_broken: bool,
    failed_restorations: usize,
}

impl Runner<'_> {
    async fn run(&mut self, case: &Case) -> Row {
        if let Err(error) = self.restore().await {
            let error = error.context("left out, because the deployment cannot be restored");
            return Row::failed(case.name, &error);
        }
        let row = row_of(case.name, self.attempt(case).await);
        self.is_broken = !row.is_complete();
        row
    }

    async fn restore(&mut self) -> anyhow::Result<()> {
        if !self.is_broken {
            return Ok(());
        }
        anyhow::ensure!(
            self.failed_restorations < RESTORATIONS,
            "{RESTORATIONS} attempts have failed"
        );
        (self.progress)("  restoring the deployment");
        let restored = change(self.stack, cases::RESTORE).await;
        self.failed_restorations += 1;
        explain(restored, &self.stack.cluster, self.progress).await?;
        self.failed_restorations = 0;
        self.is_broken = false;
        Ok(())
    }

    /// Makes a change, under load unless the case has none.
    async fn attempt(&self, case: &Case) -> anyhow::Result<Row> {
        let stack = self.stack;
        if case.load == Expected::None {
            let changed = change(stack, case.commands).await;
            let problems = changed.err().map(|error| format!("{error:#}"));
            let problems = problems.into_iter().collect();
            return Ok(Row::without_load(case.name, String::new(), problems));
        }
        let Prepared {
            accounts, people, ..
        } = self.prepared;
        let load = Load::start(&stack.services, accounts, people, self.rates).await?;
        tokio::time::sleep(MARGIN).await;
        let changed = change(stack, case.commands).await;
        tokio::time::sleep(MARGIN).await;
        let outcomes = load.stop().await;
        Row::count(case, outcomes, changed.err(), &stack.pool, SETTLE).await
    }
}

/// Runs commands of a test.
async fn change(stack: &Stack, commands: &str) -> anyhow::Result<()> {
    let commands = format!("{}{commands}", cases::FUNCTIONS);
    stack.deployment.run_with_log(&commands).await
}

/// Signs people in and returns their accounts.
async fn connect(stack: &Stack, people: &People) -> anyhow::Result<Vec<Uuid>> {
    let browser = stack.services.browser()?;
    let mut accounts = Vec::new();
    for person in people.create(CALLED).await? {
        let mut attempt = 1;
        while let Err(error) = sign_in::sign_in(&mut browser.repeating(), &person).await {
            anyhow::ensure!(attempt < ATTEMPTS, "{person} cannot sign in: {error:#}");
            attempt += 1;
            tokio::time::sleep(MARGIN).await;
        }
        let handle = people::handle(&person);
        let account = eventually(SETTLE, &handle, async || {
            Ok(account_of(&stack.pool, sign_in::PROVIDER, &handle)
                .await?
                .pop())
        })
        .await?;
        accounts.push(account.id);
    }
    Ok(accounts)
}
