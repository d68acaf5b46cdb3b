//! `cargo dev bench memory`: the memory of the services under a steady load.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use devstack::walkthrough::{get_access_token, refresh_access_token};
use latchkey_proto::token::token_service_client::TokenServiceClient;
use tokio::task::JoinHandle;
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
/// Sign-ins per second. Everybody signs in once a minute.
const SIGN_INS: u32 = 20;
/// Between two calls of refresh-svc.
const CALL: Duration = Duration::from_millis(20);
/// Of so many calls one asks for a new token.
const REFRESH: usize = 10;
/// A token has to be valid for this long.
const MIN_REMAINING: Duration = Duration::from_mins(1);
/// Minutes whose memory is shown, besides the last one.
const SHOWN: [usize; 8] = [1, 2, 5, 10, 20, 30, 40, 50];

/// The services at the end of a minute.
struct Minute {
    sign_ins: u64,
    memory: Vec<Resident>,
}

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
    let stop = CancellationToken::new();
    let mut calls: Option<JoinHandle<Calls>> = None;
    let mut minutes: Vec<Minute> = Vec::new();
    let mut sign_ins = 0;
    while minutes.len() < options.minutes {
        let count = usize::try_from(SIGN_INS * 60)?;
        let (people, _) = people::begin(&testbed, PHASE, count).await?;
        let load = callbacks::scheduled(&client, people, SIGN_INS.into()).await?;
        sign_ins += load.measured.latencies.len();
        testbed.committed(PHASE, count).await?;
        if calls.is_none() {
            let accounts = sqlx::query_scalar("SELECT id FROM sync.connected_account")
                .fetch_all(testbed.stack.pool())
                .await?;
            let tokens = testbed.stack.tokens(0).await?;
            calls = Some(tokio::spawn(call(tokens, accounts, stop.clone())));
        }
        let mut memory = Vec::new();
        for id in SERVICES {
            memory.push(resident_parts(testbed.process(id)?)?);
        }
        minutes.push(Minute { sign_ins, memory });
        progress(&format!("minute {} of {}", minutes.len(), options.minutes));
    }
    stop.cancel();
    let calls = match calls {
        Some(calls) => calls.await?,
        None => Calls::default(),
    };
    write_result("memory", &markdown(&minutes, &calls)?, options.report)
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

fn markdown(minutes: &[Minute], calls: &Calls) -> anyhow::Result<String> {
    let mut text = format!(
        "{}, load average {:.1}. {SIGN_INS} sign-ins a second of {} people who sign in again and again; \
         meanwhile {} tokens were asked for and {} refreshed, {} calls failed. MiB resident, and of \
         these heap and stacks.\n\n| after minutes | sign-ins |",
        machine::description(),
        machine::load(),
        SIGN_INS * 60,
        calls.tokens,
        calls.refreshes,
        calls.failed,
    );
    text.push_str(" auth-svc | sync-svc | refresh-svc |\n| --- | --- | --- | --- | --- |\n");
    for (minute, at) in (1..).zip(minutes) {
        if !SHOWN.contains(&minute) && minute != minutes.len() {
            continue;
        }
        write!(text, "| {minute} | {} |", at.sign_ins)?;
        for memory in &at.memory {
            let (all, own) = (mebibytes(memory.all), mebibytes(memory.anonymous));
            write!(text, " {all:.1} / {own:.1} |")?;
        }
        text.push('\n');
    }
    Ok(text)
}
