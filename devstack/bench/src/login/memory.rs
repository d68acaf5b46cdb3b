//! `cargo dev bench memory`: the memory of the services under a steady load.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use devstack::walkthrough::{get_access_token, refresh_access_token};
use latchkey_proto::token::token_service_client::TokenServiceClient;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

use super::callbacks;
use super::people;
use super::testbed::{LoginTestbed, SERVICES};
use crate::machine::{self, Resident, mebibytes, resident_parts};
use crate::options::MemoryOptions;
use crate::report::{timed_progress, write_result};

/// Beginning of the addresses of all people.
const PHASE: &str = "memory";
/// People who sign in, each of them once a minute.
const PEOPLE: usize = 1_200;
/// Sign-ins per second.
const SIGN_INS: f64 = 20.0;
/// Between two calls of refresh-svc.
const CALL: Duration = Duration::from_millis(20);
/// Of so many calls one asks for a new token.
const REFRESH: usize = 10;
/// A token has to be valid for this long.
const MIN_REMAINING: Duration = Duration::from_mins(1);
/// Minutes whose memory is shown, besides the last one.
const SHOWN: [usize; 8] = [1, 2, 5, 10, 20, 30, 40, 50];

/// What the callers of refresh-svc got.
#[derive(Default)]
struct Calls {
    tokens: u64,
    refreshes: u64,
    failed: u64,
}

/// Measures and reports.
pub async fn run(options: &MemoryOptions) -> anyhow::Result<()> {
    let progress = timed_progress(Instant::now());
    let mut testbed = LoginTestbed::start(&progress).await?;
    let client = callbacks::client()?;
    let mut minutes = vec![minute(&mut testbed, &client).await?];
    let accounts = sqlx::query_scalar("SELECT id FROM sync.connected_account")
        .fetch_all(testbed.stack.pool())
        .await?;
    let tokens = testbed.stack.tokens(0).await?;
    let stop = CancellationToken::new();
    let calls = tokio::spawn(call(tokens, accounts, stop.clone()));
    for number in 2..=options.minutes {
        progress(&format!("minute {number} of {}", options.minutes));
        minutes.push(minute(&mut testbed, &client).await?);
    }
    stop.cancel();
    write_result(
        "memory",
        &markdown(&minutes, &calls.await?)?,
        options.report,
    )
}

/// Lets everybody sign in once, and returns the memory of the services afterwards.
async fn minute(
    testbed: &mut LoginTestbed,
    client: &reqwest::Client,
) -> anyhow::Result<Vec<Resident>> {
    let (people, _) = people::begin(testbed, PHASE, PEOPLE).await?;
    callbacks::scheduled(client, people, SIGN_INS).await?;
    testbed.committed(PHASE, PEOPLE).await?;
    let mut memory = Vec::new();
    for id in SERVICES {
        memory.push(resident_parts(testbed.process(id)?)?);
    }
    Ok(memory)
}

/// Asks for the tokens of one account after the other, until `stop`.
async fn call(
    mut tokens: TokenServiceClient<Channel>,
    accounts: Vec<Uuid>,
    stop: CancellationToken,
) -> Calls {
    let mut calls = Calls::default();
    let mut due = tokio::time::interval(CALL);
    for (number, account) in accounts.iter().cycle().enumerate() {
        if stop.run_until_cancelled(due.tick()).await.is_none() {
            break;
        }
        match get_access_token(&mut tokens, *account, MIN_REMAINING).await {
            Ok(token) if number.is_multiple_of(REFRESH) => {
                match refresh_access_token(&mut tokens, *account, token.version).await {
                    Ok(_) => calls.refreshes += 1,
                    Err(_) => calls.failed += 1,
                }
            }
            Ok(_) => calls.tokens += 1,
            Err(_) => calls.failed += 1,
        }
    }
    calls
}

/// The report; `minutes` has the memory of the services at the end of each.
fn markdown(minutes: &[Vec<Resident>], calls: &Calls) -> anyhow::Result<String> {
    let mut text = format!(
        "{}, load average {:.1}. {SIGN_INS} sign-ins a second of {PEOPLE} people who sign in again and again; \
         meanwhile {} tokens were asked for and {} refreshed, {} calls failed. MiB resident, and of \
         these heap and stacks.\n\n| after minutes | sign-ins |",
        machine::description(),
        machine::load(),
        calls.tokens,
        calls.refreshes,
        calls.failed,
    );
    text.push_str(" auth-svc | sync-svc | refresh-svc |\n| --- | --- | --- | --- | --- |\n");
    for (minute, memory) in (1..).zip(minutes) {
        if !SHOWN.contains(&minute) && minute != minutes.len() {
            continue;
        }
        write!(text, "| {minute} | {} |", minute * PEOPLE)?;
        for resident in memory {
            let (all, own) = (mebibytes(resident.all), mebibytes(resident.anonymous));
            write!(text, " {all:.1} / {own:.1} |")?;
        }
        text.push('\n');
    }
    Ok(text)
}
