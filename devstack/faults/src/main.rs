//! `cargo dev faults`: breaks servers and services while people use them, and checks that nothing
//! is lost and nothing is done twice. The launcher builds this program and the services.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use devstack::command::carry_out;
use latchkey_faults::driver::Load;
use latchkey_faults::run::{RunOptions, run};
use latchkey_faults::schedule::Scenario;
use latchkey_servers::{print_message, target_directory};

/// People of a run by default.
const PEOPLE: usize = 2_000;

/// Breaks servers and services under load, and checks what is left. The exit code is 0 only if no
/// rule is broken.
#[derive(Parser)]
#[command(name = "cargo dev faults", version)]
struct Arguments {
    /// Determines the faults and what people do; printed if it is random.
    #[arg(long)]
    seed: Option<u64>,
    /// After this time nobody begins any more.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Number of people, each of whom signs in at least once: 2,000, or with `--scenario points`
    /// as many as begin in the time.
    #[arg(long)]
    sign_ins: Option<usize>,
    /// People who begin in a second, at most.
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// The faults.
    #[arg(long, value_enum, default_value_t = Scenario::Mixed)]
    scenario: Scenario,
    /// Run the release build of the services.
    #[arg(long)]
    release: bool,
}

/// At most as many people are there at the same time as begin within this number of seconds. While nobody can
/// sign in, no further people begin.
const SECONDS_OF_PEOPLE: usize = 3;

impl Arguments {
    fn people(&self) -> usize {
        let in_the_time = || {
            let people = self.minutes.saturating_mul(60 * u64::from(self.rate));
            usize::try_from(people).unwrap_or(usize::MAX)
        };
        self.sign_ins.unwrap_or_else(|| match self.scenario {
            Scenario::Points => in_the_time(),
            _ => PEOPLE,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    carry_out("cargo dev faults", Box::pin(command(Arguments::parse()))).await
}

async fn command(arguments: Arguments) -> anyhow::Result<i32> {
    anyhow::ensure!(
        arguments.release != cfg!(debug_assertions),
        "start this program with `cargo dev faults`"
    );
    let options = RunOptions {
        scenario: arguments.scenario,
        load: Load {
            people: arguments.people(),
            rate: arguments.rate,
            at_once: arguments.rate as usize * SECONDS_OF_PEOPLE,
            token_calls: 20,
            seed: arguments
                .seed
                .unwrap_or_else(|| u64::from(rand::random::<u32>())),
        },
        limit: Duration::from_secs(arguments.minutes * 60),
        progress: Arc::new(|line| print_message(&format!("· {line}"))),
    };
    let report = Box::pin(run(&options)).await?;
    let text = report.markdown();
    writeln!(std::io::stdout(), "\n{text}")?;
    let file = target_directory().join("faults-report.md");
    std::fs::write(&file, &text).with_context(|| file.display().to_string())?;
    Ok(i32::from(!report.violations.is_empty()))
}
