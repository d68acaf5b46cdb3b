//! A private RabbitMQ node with its management API.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;
use tokio::time::timeout;
use uuid::Uuid;

use crate::ServerError;
use crate::child::{Child, ChildSpec, OnCrash};
use crate::packages::{Package, on_path, rabbitmq_script};
use crate::port::with_free_ports;

const USER: &str = "latchkey";
/// How long a node may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// A running RabbitMQ on its own ports. It is stopped when this value is dropped.
#[derive(Debug)]
pub struct RabbitMq {
    broker: Option<Child>,
    /// A private port mapper of Erlang, because the shared one would outlive the node. The nodes of
    /// a cluster have one together, which the first of them keeps.
    _mapper: Option<Child>,
    spec: ChildSpec,
    directory: PathBuf,
    ports: Ports,
    password: String,
    client: reqwest::Client,
}

/// The ports of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) amqp: u16,
    pub(crate) api: u16,
    pub(crate) distribution: u16,
    /// That of Erlang's port mapper.
    pub(crate) mapper: u16,
}

impl RabbitMq {
    /// Starts a node with all of its files in `directory`.
    ///
    /// # Errors
    /// RabbitMQ is missing, or does not start.
    pub async fn start(directory: &Path) -> Result<Self, ServerError> {
        with_free_ports(|ports| Self::start_on(directory, ports, "")).await
    }

    /// Starts a node with all of its files in `directory` for other hosts: it listens on
    /// `address` too.
    ///
    /// # Errors
    /// RabbitMQ is missing, or does not start.
    pub async fn start_at(directory: &Path, address: SocketAddrV4) -> Result<Self, ServerError> {
        let listener = format!("listeners.tcp.2 = {address}\n");
        with_free_ports(|ports| Self::start_on(directory, ports, &listener)).await
    }

    async fn start_on(
        directory: &Path,
        [amqp, api, distribution, mapper]: [u16; 4],
        configuration: &str,
    ) -> Result<Self, ServerError> {
        let ports = Ports {
            amqp,
            api,
            distribution,
            mapper,
        };
        let (home, log) = (directory.join("rabbitmq"), directory.join("rabbitmq.log"));
        fs::create_dir_all(&home).map_err(ServerError::file(&home))?;
        let epmd = start_epmd(&home, &log, mapper)?;
        let password = new_password();
        let mut node = Self::new(home, &log, ports, password, configuration)?.keeping(epmd);
        node.resume().await?;
        Ok(node)
    }

    /// Describes a node without starting it; `configuration` has further lines.
    pub(crate) fn new(
        home: PathBuf,
        log: &Path,
        ports: Ports,
        password: String,
        configuration: &str,
    ) -> Result<Self, ServerError> {
        let script = rabbitmq_script().ok_or_else(|| Package::RabbitMq.missing())?;
        write_configuration(&home, ports, &password, configuration)?;
        let mut spec = ChildSpec::new("RabbitMQ", script, &home, log);
        spec.clear_environment = true;
        spec.on_crash = OnCrash::Kill;
        for (name, value) in [
            ("HOME", home.clone().into_os_string()),
            ("ERL_EPMD_PORT", ports.mapper.to_string().into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            // Makes the script replace itself with the node instead of waiting for it.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            ("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf").into()),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "/dev/null".into()),
            ("RABBITMQ_DIST_PORT", ports.distribution.to_string().into()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins").into()),
            ("RABBITMQ_LOG_BASE", home.join("log").into()),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_MNESIA_BASE", home.join("mnesia").into()),
            ("RABBITMQ_NODENAME", ports.node_name().into()),
            ("RABBITMQ_PID_FILE", home.join("pid").into()),
        ] {
            spec = spec.env(name, value);
        }
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()?;
        Ok(Self {
            broker: None,
            _mapper: None,
            spec,
            directory: home,
            ports,
            password,
            client,
        })
    }

    /// Keeps the port mapper of Erlang until the node is dropped.
    pub(crate) fn keeping(self, mapper: Child) -> Self {
        Self {
            _mapper: Some(mapper),
            ..self
        }
    }

    /// Sets a variable of the node.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.spec.environment.push((name.into(), value.into()));
    }

    /// Restarts the node after [`RabbitMq::stop`] or [`RabbitMq::kill`] with the same ports and
    /// data.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn resume(&mut self) -> Result<(), ServerError> {
        let mut broker = Child::start(self.spec.clone())?;
        broker
            .wait_until(START_TIMEOUT, || self.has_amqp_listener())
            .await?;
        self.broker = Some(broker);
        Ok(())
    }

    /// Returns `true` once the node itself says that it listens on the AMQP port. That the port
    /// accepts a connection is no proof: another process may have taken it.
    async fn has_amqp_listener(&self) -> bool {
        let asked = self
            .client
            .get(format!("http://127.0.0.1:{}/api/overview", self.ports.api))
            .basic_auth(USER, Some(&self.password));
        let Ok(answer) = asked.send().await else {
            return false;
        };
        let overview = answer.json::<Overview>().await;
        overview.is_ok_and(|overview| {
            let mut listeners = overview.listeners.iter();
            listeners
                .any(|listener| listener.protocol == "amqp" && listener.port == self.ports.amqp)
        })
    }

    /// Returns the number of nodes of its cluster that run, as the node sees it; 0 if it does not
    /// answer.
    pub async fn running_nodes(&self) -> usize {
        let asked = self
            .client
            .get(format!("http://127.0.0.1:{}/api/nodes", self.ports.api))
            .basic_auth(USER, Some(&self.password));
        let Ok(answer) = asked.send().await else {
            return 0;
        };
        let nodes: Vec<Node> = answer.json().await.unwrap_or_default();
        nodes.iter().filter(|node| node.running).count()
    }

    /// Returns a command that runs `rabbitmqctl` for this node.
    pub fn control(&self) -> Command {
        let mut command = Command::new(self.spec.program.with_file_name("rabbitmqctl"));
        let variables = self.spec.environment.iter();
        command
            .envs(variables.map(|(name, value)| (name, value)))
            .current_dir(&self.directory);
        command
    }

    /// Runs `rabbitmqctl` for this node, which takes `limit` at most. Returns its standard output.
    ///
    /// # Errors
    /// It cannot be run, fails, or does not end in time.
    pub async fn run_control(
        &self,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<Vec<u8>, ServerError> {
        let mut command = tokio::process::Command::from(self.control());
        command
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let program = format!("rabbitmqctl {}", arguments.join(" "));
        let Ok(output) = timeout(limit, command.output()).await else {
            return Err(ServerError::Failed {
                program,
                output: format!("it does not end within {limit:?}"),
            });
        };
        let output = match output {
            Ok(output) => output,
            Err(source) => return Err(ServerError::Spawn { program, source }),
        };
        if output.status.success() {
            return Ok(output.stdout);
        }
        let printed = [output.stdout, output.stderr].concat();
        Err(ServerError::Failed {
            program,
            output: String::from_utf8_lossy(&printed).into_owned(),
        })
    }

    /// Stops it with SIGTERM.
    pub fn stop(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            broker.stop(Signal::SIGTERM, Duration::from_secs(30));
        }
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            broker.stop(Signal::SIGKILL, Duration::ZERO);
        }
    }

    /// Sends a signal to the node.
    pub fn signal(&self, signal: Signal) {
        if let Some(broker) = &self.broker {
            broker.signal(signal);
        }
    }

    /// Returns the address for AMQP.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.amqp).into()
    }

    /// Returns the AMQP URL of the default virtual host.
    pub fn url(&self) -> String {
        format!(
            "amqp://{USER}:{}@127.0.0.1:{}/%2f",
            self.password, self.ports.amqp
        )
    }

    /// Returns the URL of the management API with credentials.
    pub fn api_url(&self) -> String {
        format!(
            "http://{USER}:{}@127.0.0.1:{}",
            self.password, self.ports.api
        )
    }

    /// Returns the directory of the node's data and its own logs.
    pub fn data_directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the process id of the node while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.broker.as_ref().map(Child::id)
    }
}

impl Ports {
    /// Name of the node with these ports, without that of the host.
    pub(crate) fn short_name(self) -> String {
        format!("latchkey-{}", self.amqp)
    }

    /// Name of the node with these ports.
    pub(crate) fn node_name(self) -> String {
        format!("{}@localhost", self.short_name())
    }
}

/// Starts a private port mapper of Erlang.
pub(crate) fn start_epmd(home: &Path, log: &Path, port: u16) -> Result<Child, ServerError> {
    let program = on_path("epmd").ok_or_else(|| Package::RabbitMq.missing())?;
    let mut spec = ChildSpec::new("epmd", program, home, log)
        .arg("-port")
        .arg(port.to_string())
        .arg("-address")
        .arg("127.0.0.1");
    spec.on_crash = OnCrash::Kill;
    Child::start(spec)
}

/// Returns a password that nobody knows.
pub(crate) fn new_password() -> String {
    Uuid::new_v4().simple().to_string()
}

/// What the management API says of the node.
#[derive(Deserialize)]
struct Overview {
    listeners: Vec<Listener>,
}

/// What it says of a node of the cluster.
#[derive(Deserialize)]
struct Node {
    running: bool,
}

#[derive(Deserialize)]
struct Listener {
    protocol: String,
    port: u16,
}

/// Writes the configuration with further lines.
fn write_configuration(
    home: &Path,
    ports: Ports,
    password: &str,
    further: &str,
) -> Result<(), ServerError> {
    let Ports { amqp, api, .. } = ports;
    let configuration = format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
         {further}\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {api}\n\
         default_user = {USER}\n\
         default_pass = {password}\n\
         disk_free_limit.absolute = 50MB\n\
         collect_statistics_interval = 1000\n\
         log.console.level = warning\n"
    );
    for (name, text) in [
        ("rabbitmq.conf", configuration.as_str()),
        ("plugins", "[rabbitmq_management].\n"),
    ] {
        let path = home.join(name);
        fs::write(&path, text).map_err(ServerError::file(&path))?;
    }
    Ok(())
}
