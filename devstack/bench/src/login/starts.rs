//! How long a service takes from its start until it is ready, while its servers run.

use std::time::{Duration, Instant};

use super::testbed::{LoginTestbed, SERVICES};
use crate::machine::{Resident, resident_parts};

/// Between two requests of `/readyz`.
const LOOK: Duration = Duration::from_millis(5);
/// A service that is not ready by then is an error.
const LONGEST: Duration = Duration::from_secs(30);
/// How long a service is idle before its memory is read.
const IDLE: Duration = Duration::from_secs(5);

/// The starts of one service.
pub struct Starts {
    /// Name of the service.
    pub service: String,
    /// Time until it was ready, for each start.
    pub ready: Vec<Duration>,
    /// Its memory after the last start, idle.
    pub memory: Resident,
}

/// Starts each service `times` times.
pub async fn measure(testbed: &mut LoginTestbed, times: usize) -> anyhow::Result<Vec<Starts>> {
    let client = reqwest::Client::builder()
        .timeout(LONGEST)
        .no_proxy()
        .build()?;
    let mut measured = Vec::new();
    for id in SERVICES {
        let service = testbed.stack.service(id)?;
        let mut ready = Vec::new();
        for _ in 0..times {
            service.stop();
            let begun = Instant::now();
            service.launch()?;
            loop {
                let answer = client.get(service.ready_url()).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    break;
                }
                anyhow::ensure!(
                    begun.elapsed() < LONGEST && service.is_running(),
                    "{} does not become ready",
                    service.name()
                );
                tokio::time::sleep(LOOK).await;
            }
            ready.push(begun.elapsed());
        }
        measured.push((id, service.name().to_owned(), ready));
    }
    tokio::time::sleep(IDLE).await;
    measured
        .into_iter()
        .map(|(id, service, ready)| {
            Ok(Starts {
                service,
                ready,
                memory: resident_parts(testbed.process(id)?)?,
            })
        })
        .collect()
}
