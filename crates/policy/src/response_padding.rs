//! Protection against timing attacks: the time of a refusal does not show whether the
//! account exists.

use std::time::Duration;

use tokio::time::Instant;

/// Answers are delayed to a multiple of this time, which is far longer than a look-up in
/// the database takes.
const STEP: Duration = Duration::from_millis(20);

/// Waits until the time since `started`, the start of the look-up, is a multiple of
/// 20 ms.
pub async fn pad_response_time(started: Instant) {
    tokio::time::sleep_until(started + whole_steps(started.elapsed())).await;
}

/// The next multiple of the step.
fn whole_steps(elapsed: Duration) -> Duration {
    let steps = elapsed.as_nanos() / STEP.as_nanos() + 1;
    STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // R36
        #[test]
        fn a_refusal_is_sent_at_the_next_whole_step(micros in 0u64..100_000_000) {
            let elapsed = Duration::from_micros(micros);
            let moment = whole_steps(elapsed);
            prop_assert!(elapsed < moment && moment <= elapsed + STEP);
            prop_assert_eq!(moment.as_nanos() % STEP.as_nanos(), 0);
        }
    }

    // R36: the time of an answer shows only the number of whole steps of its look-up.
    #[tokio::test(start_paused = true)]
    async fn the_time_of_an_answer_shows_only_whole_steps() {
        let look = async |started: Instant, took: Duration| {
            tokio::time::sleep(took).await;
            pad_response_time(started).await;
            started.elapsed()
        };
        let millis = Duration::from_millis;
        // Within one step, up to its limits, and on both sides of a limit.
        for (one, other, steps) in [(0, 19, 0), (1, 7, 0), (20, 39, 0), (19, 21, 1), (1, 59, 2)] {
            let started = Instant::now();
            let (one, other) =
                tokio::join!(look(started, millis(one)), look(started, millis(other)));
            assert_eq!(other, one + STEP * steps);
        }
    }
}
