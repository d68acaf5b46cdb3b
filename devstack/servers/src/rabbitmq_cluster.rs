//! A cluster of RabbitMQ on this machine, with a network between its nodes that can fail.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ServerError;
use crate::port::with_free_ports;
use crate::port_mapper::PortMapper;
use crate::proxy::{Disturbance, Proxy};
use crate::rabbitmq::{Ports, RabbitMq, new_password, start_epmd};

/// File with the secret that the nodes share.
const COOKIE: &str = ".erlang.cookie";
/// A node that does not see most of the nodes stops until it sees them.
const CONFIGURATION: &str = "cluster_partition_handling = pause_minority\n";
/// How long each step of joining a node may take.
const JOIN_TIMEOUT: Duration = Duration::from_mins(2);
/// A node that nothing comes from is down after 6 to 10 s, and not after a minute.
const TICK_TIME: &str = "-kernel net_ticktime 8";

/// The nodes of a cluster besides the first one, and the network between all of them. The nodes are
/// counted from 0, the first one.
#[derive(Debug)]
pub struct RabbitMqCluster {
    /// The nodes from the second one on.
    pub others: Vec<RabbitMq>,
    network: Network,
}

/// A proxy on each way between two nodes.
#[derive(Debug, Default)]
struct Network {
    mappers: Vec<PortMapper>,
    ports: Vec<Ports>,
    /// By the number of the node that connects, and that of the other one.
    proxies: BTreeMap<(usize, usize), Proxy>,
}

impl RabbitMqCluster {
    /// Starts a cluster with all of its files in `directory`. The first node is started first; each
    /// of the others is joined to it with `rabbitmqctl join_cluster`.
    ///
    /// # Errors
    /// RabbitMQ is missing, or a node does not start or does not join.
    pub async fn start(directory: &Path, nodes: usize) -> Result<(RabbitMq, Self), ServerError> {
        let password = new_password();
        let mut network = Network::default();
        let start = |ports| start_first(directory, &password, ports);
        let (first, mapper, ports, epmd) = with_free_ports(start).await?;
        network.add(mapper, ports).await?;
        let mut others = Vec::new();
        for number in 2..=nodes {
            let name = format!("rabbitmq-{number}");
            let start = |ports| {
                start_other(
                    directory,
                    &name,
                    &password,
                    (first.data_directory(), epmd),
                    ports,
                )
            };
            let (node, mapper, own) = with_free_ports(start).await?;
            network.add(mapper, own).await?;
            join(&node, &ports.node_name()).await?;
            others.push(node);
        }
        Ok((first, Self { others, network }))
    }

    /// Lets no packet pass between a node and the others, and notifies nobody.
    pub fn isolate(&self, node: usize) {
        self.network.disturb(node, Some(Disturbance::Held));
    }

    /// Connects an isolated node again.
    pub fn reconnect(&self, node: usize) {
        self.network.disturb(node, None);
    }
}

impl Network {
    /// Connects a node that has started with those before it.
    async fn add(&mut self, mapper: PortMapper, ports: Ports) -> Result<(), ServerError> {
        let number = self.ports.len();
        for (other, (other_mapper, other_ports)) in self.mappers.iter().zip(&self.ports).enumerate()
        {
            for (from, way, to) in [
                (&mapper, (number, other), *other_ports),
                (other_mapper, (other, number), ports),
            ] {
                let target = SocketAddr::from((Ipv4Addr::LOCALHOST, to.distribution));
                let proxy = Proxy::start(target).await?;
                from.route(to.short_name(), proxy.address().port());
                self.proxies.insert(way, proxy);
            }
        }
        self.mappers.push(mapper);
        self.ports.push(ports);
        Ok(())
    }

    fn disturb(&self, node: usize, disturbance: Option<Disturbance>) {
        for ((from, to), proxy) in &self.proxies {
            if *from == node || *to == node {
                proxy.disturb(disturbance);
            }
        }
    }
}

/// Starts the first node and the real port mapper. Returns the port of the latter too.
async fn start_first(
    directory: &Path,
    password: &str,
    [amqp, api, distribution, epmd]: [u16; 4],
) -> Result<(RabbitMq, PortMapper, Ports, u16), ServerError> {
    let (home, log) = (directory.join("rabbitmq"), directory.join("rabbitmq.log"));
    fs::create_dir_all(&home).map_err(ServerError::file(&home))?;
    let real = start_epmd(&home, &log, epmd)?;
    let (mut node, mapper, ports) =
        node(home, &log, password, [amqp, api, distribution], epmd).await?;
    node = start(node.keeping(real)).await?;
    Ok((node, mapper, ports, epmd))
}

/// Starts a further node, with the cookie in the directory of the first one.
async fn start_other(
    directory: &Path,
    name: &str,
    password: &str,
    (first, epmd): (&Path, u16),
    [amqp, api, distribution]: [u16; 3],
) -> Result<(RabbitMq, PortMapper, Ports), ServerError> {
    let (home, log) = (directory.join(name), directory.join(format!("{name}.log")));
    fs::create_dir_all(&home).map_err(ServerError::file(&home))?;
    let cookie = home.join(COOKIE);
    // An earlier attempt may have left it, and it is read-only.
    if !cookie.exists() {
        fs::copy(first.join(COOKIE), &cookie).map_err(ServerError::file(&cookie))?;
    }
    let (node, mapper, ports) = node(home, &log, password, [amqp, api, distribution], epmd).await?;
    Ok((start(node).await?, mapper, ports))
}

/// A node that does not run yet, and its way to the real port mapper.
async fn node(
    home: PathBuf,
    log: &Path,
    password: &str,
    [amqp, api, distribution]: [u16; 3],
    epmd: u16,
) -> Result<(RabbitMq, PortMapper, Ports), ServerError> {
    let mapper = PortMapper::start(epmd).await?;
    let ports = Ports {
        amqp,
        api,
        distribution,
        mapper: mapper.port(),
    };
    let node = RabbitMq::new(home, log, ports, password.to_owned(), CONFIGURATION)?;
    Ok((node, mapper, ports))
}

async fn start(mut node: RabbitMq) -> Result<RabbitMq, ServerError> {
    node.set("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", TICK_TIME);
    node.resume().await?;
    Ok(node)
}

/// Joins a node to the cluster of another one. What the node has is lost.
async fn join(node: &RabbitMq, other: &str) -> Result<(), ServerError> {
    for arguments in [
        &["stop_app"][..],
        &["reset"],
        &["join_cluster", other],
        &["start_app"],
    ] {
        node.run_control(arguments, JOIN_TIMEOUT).await?;
    }
    Ok(())
}
