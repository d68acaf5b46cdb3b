//! Background tasks under one supervisor: a task that panics, fails or ends before it is asked
//! to stops the whole service, which then exits with an error.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::StartError;

/// Watches over the background tasks of a service. Tasks that still run when it is dropped are
/// aborted.
#[derive(Debug)]
pub struct Supervisor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stop: CancellationToken,
    failure: Mutex<Option<StartError>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Supervisor {
    /// A supervisor that cancels `stop` if a task fails.
    pub fn new(stop: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            stop,
            failure: Mutex::default(),
            tasks: Mutex::default(),
        }))
    }

    /// A group of tasks, each of which runs until `until` is cancelled.
    pub fn tasks_until(&self, until: CancellationToken) -> Tasks {
        Tasks {
            supervisor: Arc::clone(&self.0),
            until,
            tracker: TaskTracker::new(),
            spawned: Arc::default(),
        }
    }

    /// The first failure of a task, if any.
    ///
    /// # Errors
    /// [`StartError::Task`] if a task panicked or ended too early; else the task's own error.
    pub fn outcome(&self) -> Result<(), StartError> {
        lock(&self.0.failure).take().map_or(Ok(()), Err)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        for task in lock(&self.0.tasks).drain(..) {
            task.abort();
        }
    }
}

impl Inner {
    fn failed(&self, task: &'static str, error: StartError) {
        tracing::error!(task, %error, "a background task failed: the service stops");
        lock(&self.failure).get_or_insert(error);
        self.stop.cancel();
    }
}

/// Background tasks that run until the same moment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tasks {
    supervisor: Arc<Inner>,
    until: CancellationToken,
    tracker: TaskTracker,
    /// Every task that was spawned, by its name.
    spawned: Arc<Mutex<Vec<(&'static str, AbortHandle)>>>,
}

impl Tasks {
    /// Cancelled when the tasks should end.
    pub fn until(&self) -> CancellationToken {
        self.until.clone()
    }

    /// Runs a task. `name` is in the log and in the error if it fails.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_fallible(name, task.map(Ok));
    }

    /// Runs a task that may fail. An error is a failure at any time.
    pub fn spawn_fallible(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), StartError>> + Send + 'static,
    ) {
        let (supervisor, until) = (Arc::clone(&self.supervisor), self.until.clone());
        let task = self.tracker.spawn(async move {
            let problem = |problem: String| StartError::Task { name, problem };
            let outcome = match AssertUnwindSafe(task).catch_unwind().await {
                Err(panic) => Err(problem(format!("it panicked: {}", text_of(&*panic)))),
                Ok(Ok(())) if !until.is_cancelled() => {
                    Err(problem("it ended before the service stopped".to_owned()))
                }
                Ok(outcome) => outcome,
            };
            if let Err(error) = outcome {
                supervisor.failed(name, error);
            }
        });
        lock(&self.spawned).push((name, task.abort_handle()));
        lock(&self.supervisor.tasks).push(task.abort_handle());
    }

    /// The names of the tasks that have not ended.
    fn running(&self) -> Vec<&'static str> {
        let spawned = lock(&self.spawned);
        let running = spawned.iter().filter(|(_, task)| !task.is_finished());
        running.map(|(name, _)| *name).collect()
    }

    /// Waits until every task has ended.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Waits until every task has ended, for at most `limit`. Tasks that still run are named
    /// in the log.
    pub async fn ended_within(&self, limit: Duration) {
        if tokio::time::timeout(limit, self.ended()).await.is_err() {
            let tasks = self.running();
            tracing::error!(
                ?tasks,
                "background tasks are cut off: they took too long to end"
            );
        }
    }
}

/// The message of a panic.
fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(lock(&self.0).clone()).unwrap()
        }
    }

    /// Runs one task until the service stops, and returns how it ended, with the log.
    async fn run<F>(task: F) -> (Result<(), StartError>, String)
    where
        F: Future<Output = Result<(), StartError>> + Send + 'static,
    {
        let log = Log::default();
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let _logged = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(stop.clone());
        let tasks = supervisor.tasks_until(stop.clone());
        let until = tasks.until();
        tasks.spawn("patient", async move { until.cancelled().await });
        tasks.spawn_fallible("sweep", task);
        stop.cancelled().await;
        tasks.ended().await;
        (supervisor.outcome(), log.text())
    }

    #[tokio::test]
    async fn a_task_that_panics_stops_the_service_and_is_named() {
        let (outcome, log) = run(async { panic!("index out of bounds") }).await;
        let error = outcome.unwrap_err();
        assert_eq!(
            error.to_string(),
            "background task sweep: it panicked: index out of bounds"
        );
        assert!(log.contains("ERROR") && log.contains("sweep"), "{log}");
    }

    #[tokio::test]
    async fn a_task_that_ends_too_early_stops_the_service_and_is_named() {
        let (outcome, log) = run(async { Ok(()) }).await;
        let error = outcome.unwrap_err();
        assert_eq!(
            error.to_string(),
            "background task sweep: it ended before the service stopped"
        );
        assert!(log.contains("ERROR") && log.contains("sweep"), "{log}");
    }

    #[tokio::test]
    async fn the_error_of_a_task_stops_the_service() {
        let refused = || StartError::Other("refused".to_owned());
        let (outcome, log) = run(async move { Err(refused()) }).await;
        assert_eq!(outcome.unwrap_err().to_string(), "refused");
        assert!(log.contains("ERROR") && log.contains("sweep"), "{log}");
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_end_when_they_are_asked_to_are_no_failure() {
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let supervisor = Supervisor::new(stop.clone());
        let tasks = supervisor.tasks_until(end.clone());
        let until = end.clone();
        tasks.spawn("prompt", async move { until.cancelled().await });
        tasks.spawn("late", async {
            tokio::time::sleep(Duration::from_mins(1)).await;
        });
        end.cancel();
        tasks.ended_within(Duration::from_secs(10)).await;
        assert_eq!(tasks.running(), ["late"]);
        tasks.ended().await;
        assert!(!stop.is_cancelled());
        assert!(supervisor.outcome().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_do_not_outlive_the_supervisor() {
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(stop.clone());
        let tasks = supervisor.tasks_until(stop.clone());
        tasks.spawn("endless", std::future::pending());
        drop(supervisor);
        tasks.ended().await;
        assert!(!stop.is_cancelled());
    }
}
