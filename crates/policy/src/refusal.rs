//! When the refusal of an account is answered: at a moment that does not tell what
//! was found while it was looked up.

use std::time::Duration;

use tokio::time::Instant;

/// Far longer than a look-up in the database takes; a refused caller can wait.
const STEP: Duration = Duration::from_millis(20);

/// Waits until a refusal may be answered whose look-up began at `begun`: the next
/// whole step of 20 ms.
pub async fn moment(begun: Instant) {
    tokio::time::sleep_until(begun + whole_steps(begun.elapsed())).await;
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

    // R36: what was found sooner and what was found later leave together.
    #[tokio::test(start_paused = true)]
    async fn two_look_ups_of_different_length_are_answered_at_one_moment() {
        let begun = Instant::now();
        let look = async |took: Duration| {
            tokio::time::sleep(took).await;
            moment(begun).await;
            begun.elapsed()
        };
        let (sooner, later) = tokio::join!(
            look(Duration::from_millis(1)),
            look(Duration::from_millis(7))
        );
        assert_eq!(sooner, later);
        assert!(sooner >= STEP);
    }
}
