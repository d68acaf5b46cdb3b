//! Watches configuration that comes from files and is replaced while the service runs:
//! certificates, policies and key sets.

use std::fmt::Display;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often the files are read. Polling works on every file system, and across the symbolic
/// links that Kubernetes replaces; notifications of the kernel do not.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads until `stop`, and applies each value that differs from the one in use. A value that
/// cannot be read or applied, such as a certificate whose key is still to come, changes
/// nothing: it is tried again, and each distinct error is logged once. `what` names the files
/// in the log. `in_use` is the value that the service read at its start: the files may have
/// changed since.
pub async fn watch<T: PartialEq, E: Display>(
    what: &'static str,
    stop: CancellationToken,
    mut in_use: T,
    read: impl Fn() -> Result<T, E>,
    apply: impl Fn(&T) -> Result<(), E>,
) {
    let mut logged = String::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let changed = read().and_then(|now| {
            if now == in_use {
                return Ok(None);
            }
            apply(&now).map(|()| Some(now))
        });
        match changed {
            Ok(None) => logged.clear(),
            Ok(Some(now)) => {
                in_use = now;
                logged.clear();
                tracing::info!(what, "changed files are in use");
            }
            Err(error) => {
                let problem = error.to_string();
                if problem != logged {
                    tracing::error!(
                        what,
                        %error,
                        "changed files cannot be used: the previous ones stay in use"
                    );
                    logged = problem;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What a watched file reads as, and what was applied.
    #[derive(Default)]
    struct World {
        file: Mutex<Option<u32>>,
        applied: Mutex<Vec<u32>>,
    }

    impl World {
        fn write(&self, value: Option<u32>) {
            *self.file.lock().unwrap() = value;
        }

        fn applied(&self) -> Vec<u32> {
            self.applied.lock().unwrap().clone()
        }

        /// The service has read 2. Odd values cannot be applied.
        async fn watch(&self, stop: CancellationToken) {
            let read = || self.file.lock().unwrap().ok_or("cannot be read");
            watch("test", stop, 2, read, |value| {
                if value % 2 == 1 {
                    return Err("cannot be applied");
                }
                self.applied.lock().unwrap().push(*value);
                Ok(())
            })
            .await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_changed_is_applied_once_and_what_is_wrong_changes_nothing() {
        let world = World::default();
        world.write(Some(2));
        let stop = CancellationToken::new();
        let steps = async {
            let step = Duration::from_secs(5);
            tokio::time::sleep(step).await;
            assert!(world.applied().is_empty(), "it is in use already");
            for (written, applied) in [
                (Some(4), vec![4]),
                (Some(5), vec![4]),
                (None, vec![4]),
                (Some(4), vec![4]),
                (Some(6), vec![4, 6]),
                (Some(4), vec![4, 6, 4]),
            ] {
                world.write(written);
                tokio::time::sleep(step).await;
                assert_eq!(world.applied(), applied, "after {written:?}");
            }
            stop.cancel();
        };
        tokio::join!(world.watch(stop.clone()), steps);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_between_the_first_reading_and_the_watch_is_applied() {
        let world = World::default();
        world.write(Some(4));
        let duration = Duration::from_secs(5);
        let watched = tokio::time::timeout(duration, world.watch(CancellationToken::new()));
        assert!(watched.await.is_err(), "the watch ended");
        assert_eq!(world.applied(), [4]);
    }
}
