//! The delays between the attempts to handle a message.

use std::time::Duration;

/// When a message is retried: one delay for each attempt; the last delay repeats until the
/// attempts are exhausted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule {
    delays: Vec<Duration>,
    attempts: u32,
}

impl Default for RetrySchedule {
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

impl RetrySchedule {
    /// A schedule of `delays`; after `attempts` failed attempts the message is parked.
    pub fn new(delays: Vec<Duration>, attempts: u32) -> Self {
        Self { delays, attempts }
    }

    /// The delays, in order.
    pub fn delays(&self) -> &[Duration] {
        &self.delays
    }

    /// The wait after `attempts` failed attempts, or `None` if they are exhausted.
    pub(crate) fn after(&self, attempts: u32) -> Option<Duration> {
        if attempts >= self.attempts {
            return None;
        }
        let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        self.delays.get(step).or(self.delays.last()).copied()
    }

    /// Name of the retry queue of a delay, e.g. `sync-svc.events.retry.5s`.
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
    fn the_last_delay_repeats_until_the_attempts_are_exhausted() {
        let seconds = Duration::from_secs;
        let schedule = RetrySchedule::new(vec![seconds(1), seconds(2)], 4);
        assert_eq!(schedule.after(1), Some(seconds(1)));
        assert_eq!(schedule.after(2), Some(seconds(2)));
        assert_eq!(schedule.after(3), Some(seconds(2)));
        assert_eq!(schedule.after(4), None);
    }

    #[test]
    fn a_schedule_without_delays_parks_at_once() {
        assert_eq!(RetrySchedule::new(Vec::new(), 9).after(1), None);
    }

    #[test]
    fn the_delay_names_its_queue() {
        assert_eq!(
            RetrySchedule::queue("q", Duration::from_mins(5)),
            "q.retry.300s"
        );
        assert_eq!(
            RetrySchedule::queue("q", Duration::from_millis(50)),
            "q.retry.50ms"
        );
    }
}
