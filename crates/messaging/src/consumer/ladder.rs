use std::time::Duration;

/// When a message is tried again: one delay per attempt, the last one over and
/// over, until the attempts are spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    delays: Vec<Duration>,
    attempts: u32,
}

impl Default for Ladder {
    /// After 5 s, 30 s, 5 min and then every 30 min for a day.
    fn default() -> Self {
        Self {
            delays: vec![
                Duration::from_secs(5),
                Duration::from_secs(30),
                Duration::from_mins(5),
                Duration::from_mins(30),
            ],
            attempts: 50,
        }
    }
}

impl Ladder {
    /// A ladder of `delays`; after `attempts` tries the message is parked.
    pub fn new(delays: Vec<Duration>, attempts: u32) -> Self {
        Self { delays, attempts }
    }

    /// Every delay, in order.
    pub fn delays(&self) -> &[Duration] {
        &self.delays
    }

    /// The wait after `attempts` failed tries; none where they are spent.
    pub(crate) fn after(&self, attempts: u32) -> Option<Duration> {
        if attempts >= self.attempts {
            return None;
        }
        let rung = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        self.delays.get(rung).or(self.delays.last()).copied()
    }

    /// Name of a delay's queue, e.g. `sync-svc.user-authenticated.retry.5s`.
    pub(crate) fn queue(of: &str, delay: Duration) -> String {
        let millis = delay.as_millis();
        if millis.is_multiple_of(1_000) {
            format!("{of}.retry.{}s", millis / 1_000)
        } else {
            format!("{of}.retry.{millis}ms")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rung_repeats_until_the_attempts_are_spent() {
        let seconds = Duration::from_secs;
        let ladder = Ladder::new(vec![seconds(1), seconds(2)], 4);
        assert_eq!(ladder.after(1), Some(seconds(1)));
        assert_eq!(ladder.after(2), Some(seconds(2)));
        assert_eq!(ladder.after(3), Some(seconds(2)));
        assert_eq!(ladder.after(4), None);
    }

    #[test]
    fn a_ladder_without_rungs_parks_at_once() {
        assert_eq!(Ladder::new(Vec::new(), 9).after(1), None);
    }

    #[test]
    fn the_delay_names_its_queue() {
        assert_eq!(Ladder::queue("q", Duration::from_mins(5)), "q.retry.300s");
        assert_eq!(
            Ladder::queue("q", Duration::from_millis(50)),
            "q.retry.50ms"
        );
    }
}
