//! `cargo dev kubernetes test`: what the server accepts, what the network policies allow, and changes
//! of the deployment under load. During each change people sign in and services ask for tokens;
//! nothing may fail, get lost or be done twice.

mod case;
mod cases;
mod edges;
mod load;
mod metrics_api;
mod overlays;
mod people;
mod report;

use std::io::Write as _;
use std::time::Duration;

use devstack::polling::eventually;
use devstack::walkthrough::account_of;
use latchkey_servers::Progress;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::session::Session;
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

/// Runs the tests whose name contains one of the words, or all, and prints a table. Returns the
/// exit code, which is 0 only if every test succeeded.
///
/// # Errors
/// The deployment does not become ready for the tests.
pub async fn run(
    session: &Session,
    stack: &Stack,
    words: &[String],
    progress: &Progress,
) -> anyhow::Result<i32> {
    let is_wanted =
        |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let cases: Vec<&Case> = cases::all().filter(|case| is_wanted(case.name)).collect();
    anyhow::ensure!(
        !cases.is_empty() || is_wanted(overlays::NAME) || is_wanted(edges::NAME),
        "no test has such a name"
    );

    let kubectl = &stack.cluster.kubectl;
    let mut report = Report::default();
    if is_wanted(overlays::NAME) {
        progress(overlays::NAME);
        report.add(overlays::run(kubectl, &stack.deployment).await?, progress);
    }
    progress("two replicas of each service, without a rate limit");
    cases::prepare(&stack.deployment)?;
    let prepared = change(stack, cases::APPLY).await;
    explain(prepared, &stack.cluster, progress).await?;
    if is_wanted(edges::NAME) {
        progress(edges::NAME);
        report.add(edges::run(session, kubectl).await?, progress);
    }
    let mut serving = JoinSet::new();
    metrics_api::serve(stack, &mut serving).await?;
    let mut people = People::new(&stack.services)?;
    progress(&format!(
        "{CALLED} people sign in, whose tokens are asked for"
    ));
    let accounts = connect(stack, &mut people).await?;
    for case in cases {
        progress(case.name);
        let row = try_case(stack, case, &accounts, &mut people).await?;
        let is_complete = row.is_complete();
        report.add(row, progress);
        if !is_complete {
            progress("  restoring the deployment");
            let restored = change(stack, cases::RESTORE).await;
            if let Err(error) = explain(restored, &stack.cluster, progress).await {
                progress(&format!("  the other tests are left out: {error:#}"));
                break;
            }
        }
    }
    let _ = write!(std::io::stdout(), "\n{report}");
    Ok(i32::from(!report.is_green()))
}

/// Makes a change, under load unless the case has none.
async fn try_case(
    stack: &Stack,
    case: &Case,
    accounts: &[Uuid],
    people: &mut People,
) -> anyhow::Result<Row> {
    if case.load == Expected::None {
        let changed = change(stack, case.commands).await;
        let problems = changed.err().map(|error| format!("{error:#}"));
        let problems = problems.into_iter().collect();
        return Ok(Row::without_load(case.name, String::new(), problems));
    }
    let load = Load::start(&stack.services, accounts, people).await?;
    tokio::time::sleep(MARGIN).await;
    let changed = change(stack, case.commands).await;
    tokio::time::sleep(MARGIN).await;
    let outcomes = load.stop().await;
    Row::count(case, outcomes, changed.err(), &stack.pool, SETTLE).await
}

/// Runs commands of a test.
async fn change(stack: &Stack, commands: &str) -> anyhow::Result<()> {
    let commands = format!("{}{commands}", cases::FUNCTIONS);
    stack.deployment.run_with_log(&commands).await
}

/// Signs people in and returns their accounts.
async fn connect(stack: &Stack, people: &mut People) -> anyhow::Result<Vec<Uuid>> {
    let browser = stack.services.browser()?;
    let mut accounts = Vec::new();
    for person in people.create(CALLED).await? {
        sign_in::sign_in(&mut browser.repeating(), &person).await?;
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
