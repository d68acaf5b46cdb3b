//! A run: load and faults, the settle phase, and then the checker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use devstack::Stack;
use latchkey_demo_provider::Flavour;
use latchkey_servers::Progress;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::checker::check;
use crate::driver::{Driver, GivenToken, Load};
use crate::effects;
use crate::environment::{AGE_OF_NUMBERS, Environment, TOKEN_LIFETIME};
use crate::evidence::{Evidence, Given, Presented};
use crate::fault::Fault;
use crate::history::{self, History, Moment};
use crate::report::Report;
use crate::schedule::{Scenario, Schedule, Step};

/// How long the settle phase takes at most.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(3);
/// Time between two looks in the settle phase.
const SETTLE_PAUSE: Duration = Duration::from_millis(1_200);
/// All looks have to find nothing for so long: a message may be handled and cause another one after
/// RabbitMQ counted.
const SETTLED_FOR: Duration = AGE_OF_NUMBERS.saturating_add(Duration::from_secs(1));
/// How long people who are there finish after the end of the time.
const FINISH_TIMEOUT: Duration = Duration::from_mins(5);

/// How a run is made.
#[derive(Clone)]
pub struct RunOptions {
    /// The faults.
    pub scenario: Scenario,
    /// The load; its seed determines the faults too.
    pub load: Load,
    /// After this time nobody begins any more.
    pub limit: Duration,
    /// Prints what is being done.
    pub progress: Progress,
}

impl std::fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions")
            .field("scenario", &self.scenario)
            .field("load", &self.load)
            .finish_non_exhaustive()
    }
}

/// Makes a run. The directory of a run that fails or has a violation is kept.
///
/// # Errors
/// A server or a service does not start, or a fault cannot be ended.
pub async fn run(options: &RunOptions) -> anyhow::Result<Report> {
    let progress = &options.progress;
    let seed = options.load.seed;
    let scenario = options.scenario;
    progress(&format!(
        "scenario {}, seed {seed}; to have the same faults again: --seed {seed}",
        scenario.name()
    ));
    let mut environment = Box::pin(Environment::start(scenario, progress)).await?;
    let outcome = Box::pin(run_in(&mut environment, options)).await;
    let is_clean = |report: &Report| report.violations.is_empty();
    if !outcome.as_ref().is_ok_and(is_clean) {
        environment.stack.servers.keep_directory();
        let directory = environment.stack.directory();
        progress(&format!("{} is kept", directory.display()));
    }
    outcome
}

/// Makes a run in its environment.
async fn run_in(environment: &mut Environment, options: &RunOptions) -> anyhow::Result<Report> {
    let progress = &options.progress;
    let path = environment.stack.directory().join("history.jsonl");
    let history = Arc::new(History::create(&path)?);
    progress(&format!("the history is {}", path.display()));
    let pool = environment.pool().clone();
    let driver = Driver::connect(&environment.stack, pool, Arc::clone(&history)).await?;
    let mut people = tokio::spawn(Arc::clone(&driver).run(options.load));
    let broken = break_things(environment, &history, (&driver, &people), options).await;
    driver.stop();
    if let Err(error) = broken {
        people.abort();
        return Err(error);
    }
    progress("every fault has ended; waiting until everybody has finished");
    timeout(FINISH_TIMEOUT, &mut people)
        .await
        .context("somebody does not finish")???;

    progress("waiting until outboxes and queues are empty");
    settle(environment).await;
    progress("asking for a last token of each account");
    // A service whose clock was wrong may have stored an expiry that is too late.
    driver
        .ask_last(options.scenario == Scenario::Clocks)
        .await?;
    let unsettled = settle(environment).await;
    let entries = history.entries()?;
    let evidence = Evidence {
        calls: history::calls(&entries),
        faults: history::faults(&entries),
        database: environment.rows().await?,
        seen: environment.shadow.seen(),
        parked: environment.shadow.parked().await?,
        planted: environment.planted.fates.clone(),
        presented: presented(&environment.stack),
        given: given(&environment.stack, driver.given()),
        unsettled,
    };
    progress(&format!(
        "checking {} calls, {} accounts and {} events",
        evidence.calls.len(),
        evidence.database.accounts.len(),
        evidence.database.committed.len()
    ));
    let violations = check(&evidence);
    let told = (evidence.calls.as_slice(), evidence.faults.as_slice());
    let (name, seed) = (options.scenario.name(), options.load.seed);
    Ok(Report::new(name, seed, &entries, told, violations))
}

/// Causes one step of the schedule after the other until nobody is there any more or the time is
/// over.
async fn break_things(
    environment: &mut Environment,
    history: &History,
    (driver, people): (&Driver, &JoinHandle<anyhow::Result<()>>),
    options: &RunOptions,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut steps: Box<dyn Iterator<Item = Step> + Send> = if options.scenario.is_short() {
        Box::new(once_each(options.scenario).into_iter())
    } else {
        let schedule = Schedule::new(options.scenario, options.load.seed);
        Box::new(schedule.without(environment.left_out()))
    };
    let mut has_steps = true;
    // Each fault of the short scenario comes, however fast people are.
    while !people.is_finished() || (options.scenario.is_short() && has_steps) {
        if begun.elapsed() > options.limit {
            return Ok(());
        }
        let Some(step) = steps.next() else {
            has_steps = false;
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        sleep(step.pause).await;
        let seconds = begun.elapsed().as_secs();
        let names: Vec<String> = step.faults.iter().map(ToString::to_string).collect();
        (options.progress)(&format!(
            "{seconds:>5} s  {} accounts  {} ({:.1} s)",
            driver.accounts_seen(),
            names.join(" and "),
            step.lasts.as_secs_f64()
        ));
        cause(environment, history, &options.progress, &step).await?;
    }
    Ok(())
}

/// Begins the faults of a step, waits, ends them, and waits until every service is ready. A fault
/// whose named point is not reached ends at once.
async fn cause(
    environment: &mut Environment,
    history: &History,
    progress: &Progress,
    step: &Step,
) -> anyhow::Result<()> {
    let mut active = Vec::new();
    let mut outcome = Ok(());
    let mut is_broken = true;
    for fault in &step.faults {
        let number = history.fault_begun(*fault);
        active.push((*fault, number));
        outcome = effects::begin(*fault, environment).await;
        if outcome.is_err() {
            break;
        }
        match (fault, environment.reached) {
            (Fault::At(..), Some(reached)) => history.point_reached(number, reached),
            (Fault::At(point, _), None) => {
                is_broken = false;
                progress(&format!("not reached: {point}"));
            }
            _ => {}
        }
    }
    if outcome.is_ok() && is_broken {
        sleep(step.lasts).await;
    }
    while let Some((fault, number)) = active.pop() {
        let ended = effects::end(fault, environment).await;
        history.fault_ended(number);
        outcome = outcome.and(ended);
    }
    outcome.context("a fault cannot be caused or ended")?;
    environment.supervise().await
}

/// Returns each fault of a scenario once, in its order.
fn once_each(scenario: Scenario) -> Vec<Step> {
    scenario
        .faults()
        .into_iter()
        .map(|fault| Step {
            pause: Duration::from_secs(1),
            faults: vec![fault],
            lasts: Duration::from_millis(700),
        })
        .collect()
}

/// Waits until nothing waits in outboxes and queues. Returns what still does.
async fn settle(environment: &Environment) -> String {
    let begun = Instant::now();
    let mut quiet_since = None;
    loop {
        let mut waiting = environment
            .waiting()
            .await
            .unwrap_or_else(|error| format!("{error:#}"));
        if waiting.is_empty() {
            waiting = match environment.shadow.waiting().await {
                Ok(0) => String::new(),
                Ok(messages) => format!("{messages} messages in the shadow queue"),
                Err(error) => format!("{error:#}"),
            };
        }
        if waiting.is_empty() {
            let since = *quiet_since.get_or_insert_with(Instant::now);
            if since.elapsed() > SETTLED_FOR {
                return waiting;
            }
        } else {
            quiet_since = None;
        }
        if begun.elapsed() > SETTLE_TIMEOUT {
            return waiting;
        }
        sleep(SETTLE_PAUSE).await;
    }
}

/// Returns the log of the strict provider.
fn presented(stack: &Stack) -> Vec<Presented> {
    let people: HashMap<String, String> = stack
        .demo()
        .issued()
        .into_iter()
        .filter(|issued| issued.kind == "refresh_token")
        .map(|issued| (issued.token, issued.person))
        .collect();
    stack
        .demo()
        .presented()
        .into_iter()
        .filter(|presented| presented.flavour == Flavour::Oidc)
        .map(|presented| Presented {
            person: people.get(&presented.token).cloned().unwrap_or_default(),
            token: presented.token,
            at: Moment::from(presented.at),
            accepted: presented.accepted,
        })
        .collect()
}

/// Returns the tokens that were given, with their lives by the log of the provider. Those that are
/// revoked are left out.
fn given(stack: &Stack, tokens: Vec<GivenToken>) -> Vec<Given> {
    tokens
        .into_iter()
        .filter_map(|given| {
            let expires = stack.demo().access_token_expires_at(&given.token)?;
            let expires = Moment::from_seconds(expires);
            Some(Given {
                person: given.person,
                asked: given.asked,
                answered: given.answered,
                issued: expires.minus(TOKEN_LIFETIME),
                expires,
            })
        })
        .collect()
}
