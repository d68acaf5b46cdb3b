//! The callers of `examples/` in other languages, against a stack with all services.
//!
//! With `-- --nocapture`, each test prints the transcript that the example's README shows.

mod caller;
mod events;
mod failures;
mod run;

use caller::Caller;
use latchkey_e2e::run as run_test;
use latchkey_servers::{ServerError, print_left_out};

// R30, R32, R33
#[test]
fn a_caller_in_typescript_gets_watches_consumes_and_handles_every_class_of_failure()
-> anyhow::Result<()> {
    run_test(async {
        let Some(caller) = available("TypeScript", Caller::typescript())? else {
            return Ok(());
        };
        let mut stack = failures::stack().await?;
        failures::are_handled(&caller, &mut stack).await?;
        events::are_consumed(&caller, &mut stack).await
    })
}

// R30, R32, R33
#[test]
fn a_caller_in_python_gets_watches_and_handles_every_class_of_failure() -> anyhow::Result<()> {
    run_test(async {
        match available("Python", Caller::python())? {
            Some(caller) => failures::are_handled(&caller, &mut failures::stack().await?).await,
            None => Ok(()),
        }
    })
}

// R30, R32, R33
#[test]
fn a_caller_in_go_gets_watches_and_handles_every_class_of_failure() -> anyhow::Result<()> {
    run_test(async {
        match available("Go", Caller::go())? {
            Some(caller) => failures::are_handled(&caller, &mut failures::stack().await?).await,
            None => Ok(()),
        }
    })
}

/// Returns `None`, and says so, if the toolchain is missing and cannot be installed.
fn available(language: &str, built: anyhow::Result<Caller>) -> anyhow::Result<Option<Caller>> {
    let problem = match built {
        Ok(caller) => return Ok(Some(caller)),
        Err(problem) => problem,
    };
    let is_missing = problem.is::<caller::NoGo>()
        || matches!(problem.downcast_ref(), Some(ServerError::Missing { .. }));
    if !is_missing {
        return Err(problem);
    }
    print_left_out(&format!("the caller in {language}"), &problem.to_string());
    Ok(None)
}
