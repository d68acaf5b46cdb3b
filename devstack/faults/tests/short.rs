//! The short form of the fault suite.

use std::time::Duration;

use latchkey_faults::driver::Load;
use latchkey_faults::report::PointHits;
use latchkey_faults::run::{RunOptions, run};
use latchkey_faults::schedule::Scenario;

// R12 R20 R21 R33 R37
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_is_done_twice_while_servers_and_services_are_killed()
-> anyhow::Result<()> {
    let options = RunOptions {
        scenario: Scenario::Short,
        load: Load {
            people: 200,
            rate: 10,
            at_once: 32,
            token_calls: 10,
            seed: 20_261_127,
        },
        limit: Duration::from_mins(5),
        progress: latchkey_servers::silent(),
    };
    let report = Box::pin(run(&options)).await?;
    assert!(report.violations.is_empty(), "{}", report.markdown());
    assert_eq!(report.faults, 8);
    assert_eq!(report.points.len(), 3);
    let reached = |hits: &PointHits| hits.not_reached == 0;
    assert!(report.points.values().all(reached), "{}", report.markdown());
    assert!(report.sign_ins >= 200, "{}", report.markdown());
    assert!(report.token_calls > 0, "{}", report.markdown());
    Ok(())
}
