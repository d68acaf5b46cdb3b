//! A private RabbitMQ node with its management API.

use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;
use uuid::Uuid;

use crate::ServerError;
use crate::child::{Child, ChildSpec, OnCrash};
use crate::packages::{Package, on_path, rabbitmq_script};
use crate::port::with_free_ports;

const USER: &str = "latchkey";

/// A running RabbitMQ on its own ports. It is stopped when this value is dropped.
#[derive(Debug)]
pub struct RabbitMq {
    broker: Option<Child>,
    /// A private port mapper of Erlang, because the shared one would outlive the node.
    _mapper: Child,
    spec: ChildSpec,
    directory: PathBuf,
    port: u16,
    api_port: u16,
    password: String,
    client: reqwest::Client,
}

impl RabbitMq {
    /// Starts a node with all of its files in `directory`.
    ///
    /// # Errors
    /// RabbitMQ is missing, or does not start.
    pub async fn start(directory: &Path) -> Result<Self, ServerError> {
        with_free_ports(|ports| Self::start_on(directory, ports, None)).await
    }

    /// Starts a node with all of its files in `directory` for other hosts: it listens on
    /// `address` too.
    ///
    /// # Errors
    /// RabbitMQ is missing, or does not start.
    pub async fn start_at(directory: &Path, address: SocketAddrV4) -> Result<Self, ServerError> {
        with_free_ports(|ports| Self::start_on(directory, ports, Some(address))).await
    }

    async fn start_on(
        directory: &Path,
        [port, api_port, distribution_port, mapper_port]: [u16; 4],
        address: Option<SocketAddrV4>,
    ) -> Result<Self, ServerError> {
        let script = rabbitmq_script().ok_or_else(|| Package::RabbitMq.missing())?;
        let mapper = on_path("epmd").ok_or_else(|| Package::RabbitMq.missing())?;
        let home = directory.join("rabbitmq");
        fs::create_dir_all(&home).map_err(ServerError::file(&home))?;
        let password = Uuid::new_v4().simple().to_string();
        write_configuration(&home, port, api_port, address, &password)?;

        let log = directory.join("rabbitmq.log");
        let mut mapper = ChildSpec::new("epmd", mapper, &home, &log)
            .arg("-port")
            .arg(mapper_port.to_string())
            .arg("-address")
            .arg("127.0.0.1");
        mapper.on_crash = OnCrash::Kill;
        let mapper = Child::start(mapper)?;

        let mut spec = ChildSpec::new("RabbitMQ", script, &home, &log);
        spec.clear_environment = true;
        spec.on_crash = OnCrash::Kill;
        let node = format!("latchkey-{port}@localhost");
        for (name, value) in [
            ("HOME", home.clone().into_os_string()),
            ("ERL_EPMD_PORT", mapper_port.to_string().into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            // Makes the script replace itself with the node instead of waiting for it.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            ("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf").into()),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "/dev/null".into()),
            ("RABBITMQ_DIST_PORT", distribution_port.to_string().into()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins").into()),
            ("RABBITMQ_LOG_BASE", home.join("log").into()),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_MNESIA_BASE", home.join("mnesia").into()),
            ("RABBITMQ_NODENAME", node.into()),
            ("RABBITMQ_PID_FILE", home.join("pid").into()),
        ] {
            spec = spec.env(name, value);
        }
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()?;
        let mut rabbitmq = Self {
            broker: None,
            _mapper: mapper,
            spec,
            directory: home,
            port,
            api_port,
            password,
            client,
        };
        rabbitmq.resume().await?;
        Ok(rabbitmq)
    }

    /// Restarts the node after [`RabbitMq::stop`] or [`RabbitMq::kill`] with the same ports and
    /// data.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn resume(&mut self) -> Result<(), ServerError> {
        let mut broker = Child::start(self.spec.clone())?;
        broker
            .wait_until(Duration::from_mins(2), || self.has_amqp_listener())
            .await?;
        self.broker = Some(broker);
        Ok(())
    }

    /// Returns `true` once the node itself says that it listens on the AMQP port. That the port
    /// accepts a connection is no proof: another process may have taken it.
    async fn has_amqp_listener(&self) -> bool {
        let asked = self
            .client
            .get(format!("http://127.0.0.1:{}/api/overview", self.api_port))
            .basic_auth(USER, Some(&self.password));
        let Ok(answer) = asked.send().await else {
            return false;
        };
        let overview = answer.json::<Overview>().await;
        overview.is_ok_and(|overview| {
            let mut listeners = overview.listeners.iter();
            listeners.any(|listener| listener.protocol == "amqp" && listener.port == self.port)
        })
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

    /// Returns the AMQP URL of the default virtual host.
    pub fn url(&self) -> String {
        format!(
            "amqp://{USER}:{}@127.0.0.1:{}/%2f",
            self.password, self.port
        )
    }

    /// Returns the URL of the management API with credentials.
    pub fn api_url(&self) -> String {
        format!(
            "http://{USER}:{}@127.0.0.1:{}",
            self.password, self.api_port
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

/// What the management API says of the node.
#[derive(Deserialize)]
struct Overview {
    listeners: Vec<Listener>,
}

#[derive(Deserialize)]
struct Listener {
    protocol: String,
    port: u16,
}

fn write_configuration(
    home: &Path,
    port: u16,
    api_port: u16,
    address: Option<SocketAddrV4>,
    password: &str,
) -> Result<(), ServerError> {
    let other_hosts = address.map_or_else(String::new, |address| {
        format!("listeners.tcp.2 = {address}\n")
    });
    let configuration = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         {other_hosts}\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {api_port}\n\
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
