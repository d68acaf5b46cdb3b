//! One of the three services as a child process.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec, free_port};
use nix::sys::signal::Signal;

/// Identifies one of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceId {
    /// auth-svc.
    Auth,
    /// A further replica of auth-svc, counted from 1.
    AuthReplica(usize),
    /// sync-svc.
    Sync,
    /// A replica of refresh-svc, counted from 0.
    Refresh(usize),
}

/// A service, which may be running or stopped.
#[derive(Debug)]
pub struct Service {
    spec: ChildSpec,
    child: Option<Child>,
    ready_url: String,
    client: reqwest::Client,
}

impl Service {
    pub(super) fn new(spec: ChildSpec, ready_url: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()?;
        Ok(Self {
            spec,
            child: None,
            ready_url,
            client,
        })
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// It ends or does not become ready.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        self.wait_ready().await
    }

    /// Starts it without waiting until it is ready.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        self.child = None;
        self.child = Some(Child::start(self.spec.clone())?);
        Ok(())
    }

    /// Waits until `/readyz` answers with success.
    ///
    /// # Errors
    /// It ends or does not become ready.
    pub async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let child = self
            .child
            .as_mut()
            .ok_or_else(|| anyhow::anyhow!("{} is not running", self.spec.name))?;
        child
            .wait_until(Duration::from_mins(1), || async {
                let answer = self.client.get(&self.ready_url).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            })
            .await?;
        Ok(())
    }

    /// Stops it with SIGTERM, as Kubernetes does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.stop(Signal::SIGTERM, Duration::from_secs(20));
        }
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.stop(Signal::SIGKILL, Duration::ZERO);
        }
    }

    /// Sends a signal to its process group, such as SIGSTOP and SIGCONT.
    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            child.signal(signal);
        }
    }

    /// Returns `true` while it is running.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.exited().is_none())
    }

    /// Returns another replica, which is not running: with the same variables, and with ports and a
    /// log of its own.
    ///
    /// # Errors
    /// No port is free.
    pub fn replica(&self, name: &str) -> anyhow::Result<Self> {
        let mut spec = self.spec.clone();
        name.clone_into(&mut spec.name);
        spec.log = spec
            .log
            .map(|log| log.with_file_name(format!("{name}.log")));
        let mut replica = Self::new(spec, String::new())?;
        for variable in ["HTTP_LISTEN", "GRPC_LISTEN", "HEALTH_LISTEN"] {
            if replica.variable(variable).is_ok() {
                let address = format!("127.0.0.1:{}", free_port()?);
                if variable == "HEALTH_LISTEN" {
                    replica.ready_url = format!("http://{address}/readyz");
                }
                replica.set(variable, address);
            }
        }
        Ok(replica)
    }

    /// Returns its process id while it is running.
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Returns the name of the service.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Returns the variables with which it is started.
    pub fn environment(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let pairs = self.spec.environment.iter();
        pairs.map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Returns the value of a variable with which it is started.
    ///
    /// # Errors
    /// The variable is not set, or is not text.
    pub fn variable(&self, name: &str) -> anyhow::Result<&str> {
        self.environment()
            .find(|(known, _)| *known == name)
            .and_then(|(_, value)| value.to_str())
            .with_context(|| format!("{} has no {name}", self.name()))
    }

    /// Sets a variable for the next start.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        let environment = &mut self.spec.environment;
        environment.retain(|(known, _)| known != name);
        environment.push((name.into(), value.into()));
    }

    /// Returns the path of its log.
    pub fn log(&self) -> &Path {
        self.spec.log.as_deref().unwrap_or(Path::new(""))
    }

    /// Returns the URL of its `/readyz`.
    pub fn ready_url(&self) -> &str {
        &self.ready_url
    }
}
