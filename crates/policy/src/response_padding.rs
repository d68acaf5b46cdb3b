//! When the refusal of an account is answered: at a moment that does not tell what
//! was found while it was looked up.

use std::time::Duration;

use tokio::time::Instant;

/// Far longer than a look-up in the database takes; a refused caller can wait.
const STEP: Duration = Duration::from_millis(20);

/// Waits until a refusal may be answered whose look-up began at `started`: the next
/// whole step of 20 ms.
pub async fn pad_response_time(started: Instant) {
    tokio::time::sleep_until(started + whole_steps(started.elapsed())).await;
}

/// The next whole number of steps.
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
        fn a_refusal_leaves_at_the_next_whole_step(micros in 0u64..100_000_000) {
            let elapsed = Duration::from_micros(micros);
            let moment = whole_steps(elapsed);
            prop_assert!(elapsed < moment && moment <= elapsed + STEP);
            prop_assert_eq!(moment.as_nanos() % STEP.as_nanos(), 0);
        }
    }

    // R36: an answer tells how many whole steps its look-up took, and nothing else
    // about what was found.
    #[tokio::test(start_paused = true)]
    async fn an_answer_tells_nothing_of_its_look_up_but_whole_steps() {
        let look = async |started: Instant, took: Duration| {
            tokio::time::sleep(took).await;
            pad_response_time(started).await;
            started.elapsed()
        };
        let millis = Duration::from_millis;
        // Within one step, up to its ends; and on both sides of one.
        for (one, other, steps) in [(0, 19, 0), (1, 7, 0), (20, 39, 0), (19, 21, 1), (1, 59, 2)] {
            let started = Instant::now();
            let (one, other) =
                tokio::join!(look(started, millis(one)), look(started, millis(other)));
            assert_eq!(other, one + STEP * steps);
        }
    }
}
