//! The stack of the suite: real servers, the services' own binaries, and a proxy on each way
//! between a service and what it connects to.

mod api;
mod balancer;
mod clocks;
mod replication;
mod rows;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use devstack::{Options, Stack};
use latchkey_servers::{Postgres, Progress, Proxy, RabbitMq, RunDirectory, Volume};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::fault::Fault;
use crate::history::Reached;
use crate::part::{Link, Node, Server, Target};
use crate::planted::Planted;
use crate::point_watch::{Held, PointWatch};
use crate::schedule::Scenario;
use crate::shadow::Shadow;
pub use api::{AGE_OF_NUMBERS, Api};
use balancer::Balancer;
pub use balancer::answers;
pub use clocks::Clocks;
pub use replication::wait_for_standby;

/// Name of the directory of the runs.
const GROUP: &str = "faults";
/// Connections of the suite itself to PostgreSQL, at most.
const CONNECTIONS: u32 = 10;
/// Lifetime of access tokens: short, so that tokens are refreshed all the time.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(10);
/// Delays before a message is handled again: short, so that the settle phase is.
const RETRY_DELAYS: &str = "1s,2s,5s";
/// How often a service that ends by itself is started again after a fault.
const STARTS: usize = 5;

/// Everything that runs during the suite.
#[derive(Debug)]
pub struct Environment {
    /// The standby of PostgreSQL, in the scenario with fail-overs.
    pub standby: Option<Postgres>,
    /// The stack. Its PostgreSQL is the primary.
    pub stack: Stack,
    /// The queue that receives every event.
    pub shadow: Shadow,
    /// The clocks of the services.
    pub clocks: Clocks,
    /// Holds a service at a named point.
    pub points: PointWatch,
    /// The point at which a service was killed or is stopped, if it was reached.
    pub reached: Option<Reached>,
    /// What arrives when the service runs again that is stopped at a point.
    pub held: Option<Held>,
    /// The messages that the suite sent.
    pub planted: Planted,
    proxies: BTreeMap<Link, Arc<Proxy>>,
    /// In front of the nodes of RabbitMQ, if it is a cluster.
    _balancer: Option<Balancer>,
    /// Leads the suite itself to the primary.
    own_proxy: Proxy,
    pool: PgPool,
    database_url: String,
    left_out: Vec<Fault>,
    api: Api,
    /// Removed when both servers of PostgreSQL have ended: after a fail-over, the primary is there.
    _standby_directory: Option<RunDirectory>,
}

impl Environment {
    /// Starts everything that the faults of a scenario need.
    ///
    /// # Errors
    /// A server or a service does not start.
    pub async fn start(scenario: Scenario, progress: &Progress) -> anyhow::Result<Self> {
        let mut options = Options::test()
            // One machine has the addresses of all people.
            .with("RATE_LIMIT_PER_ADDRESS", "0")
            .with("RETRY_DELAYS", RETRY_DELAYS);
        options.group = GROUP;
        options.rabbitmq_nodes = scenario.broker_nodes();
        options.progress = std::sync::Arc::clone(progress);
        options.access_token_lifetime = TOKEN_LIFETIME;
        let mut stack = Stack::start(options).await?;
        let faults = scenario.faults();
        let has = |kind: fn(&Fault) -> bool| faults.iter().any(kind);
        let mut left_out = Vec::new();
        if has(|fault| matches!(fault, Fault::DiskFull(_))) {
            let moved = stack.servers.postgres.move_to_small_disks().await;
            if let Err(error) = moved {
                progress(&format!("full disks are left out: {error}"));
                left_out.extend(Volume::ALL.map(Fault::DiskFull));
            }
        }
        let mut standby = None;
        let mut standby_directory = None;
        if has(|fault| matches!(fault, Fault::Failover(_))) {
            progress("starting a standby of PostgreSQL");
            let directory = RunDirectory::create(GROUP)?;
            let primary = &mut stack.servers.postgres;
            primary.allow_rewind().await?;
            standby = Some(primary.standby(directory.path()).await?);
            standby_directory = Some(directory);
        }
        let (own_proxy, database_url) = Proxy::in_front_of(stack.database().url()).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect(&database_url)
            .await?;
        rows::prepare(&pool, has(|fault| matches!(fault, Fault::Conflicts(_)))).await?;
        if standby.is_some() {
            wait_for_standby(&pool).await?;
        }
        let mut clocks = Clocks::default();
        if has(|fault| matches!(fault, Fault::Clock(..))) {
            clocks = Clocks::insert(&mut stack, progress)?;
        }
        let shadow = Shadow::start(&stack.servers.rabbitmq.url()).await?;
        let api = Api::new(stack.servers.rabbitmq.api_url())?;
        let points = PointWatch::default();
        let proxies = insert_proxies(&mut stack, &points).await?;
        let balancer = balance(&stack, &proxies);
        let mut environment = Self {
            standby,
            stack,
            shadow,
            clocks,
            points,
            reached: None,
            held: None,
            planted: Planted::default(),
            proxies,
            _balancer: balancer,
            own_proxy,
            pool,
            database_url,
            left_out,
            api,
            _standby_directory: standby_directory,
        };
        environment.supervise().await?;
        Ok(environment)
    }

    /// Returns the faults that this machine does not allow.
    pub fn left_out(&self) -> &[Fault] {
        &self.left_out
    }

    /// Returns connections of the superuser to the primary.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Returns the URL of the primary for the superuser.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Leads the services and the suite to another server of PostgreSQL, and closes their
    /// connections to the old one.
    pub fn lead_to(&self, server: SocketAddr) {
        for proxy in self.database_proxies().chain([&self.own_proxy]) {
            proxy.set_target(server);
            proxy.close_connections();
        }
    }

    /// Returns the URLs for the superuser through the proxies of the services.
    pub fn ways_to_the_database(&self) -> Vec<String> {
        let proxies = self.database_proxies();
        proxies
            .map(|proxy| proxy.through(&self.database_url))
            .collect()
    }

    fn database_proxies(&self) -> impl Iterator<Item = &Proxy> {
        let links = self.proxies.iter();
        let links = links.filter(|(link, _)| link.to == Server::Database);
        links.map(|(_, proxy)| proxy.as_ref())
    }

    /// Returns the proxy of a link.
    pub fn proxy(&self, link: Link) -> Option<&Proxy> {
        self.proxies.get(&link).map(Arc::as_ref)
    }

    /// Returns a node of RabbitMQ's cluster.
    ///
    /// # Errors
    /// RabbitMQ has no such node.
    pub fn broker_node(&mut self, node: Node) -> anyhow::Result<&mut RabbitMq> {
        let servers = &mut self.stack.servers;
        let Some(other) = node.index().checked_sub(1) else {
            return Ok(&mut servers.rabbitmq);
        };
        let cluster = servers.rabbitmq_cluster.as_mut();
        let node = cluster.and_then(|cluster| cluster.others.get_mut(other));
        node.context("RabbitMQ has no such node")
    }

    /// Returns RabbitMQ's management API.
    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// Starts every service that has ended, as a supervisor does, and waits until all are ready.
    ///
    /// # Errors
    /// A service ends again and again, or does not become ready.
    pub async fn supervise(&mut self) -> anyhow::Result<()> {
        for target in Target::ALL {
            let service = self.stack.service(target.id())?;
            let mut result = Ok(());
            for _ in 0..STARTS {
                if !service.is_running() {
                    service.launch()?;
                }
                result = service.wait_ready().await;
                if result.is_ok() {
                    break;
                }
            }
            result?;
        }
        Ok(())
    }

    /// Reads the rows that the checker judges.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rows(&self) -> anyhow::Result<crate::evidence::Database> {
        rows::read(&self.pool).await
    }

    /// Returns what still waits to be published or handled; empty if nothing does.
    ///
    /// # Errors
    /// The database fails.
    pub async fn waiting(&self) -> anyhow::Result<String> {
        let outboxes = rows::outboxes(&self.pool).await?;
        let messages = self.api.waiting().await;
        let messages = messages.context("RabbitMQ's management API does not answer")?;
        if outboxes == 0 && messages == 0 {
            return Ok(String::new());
        }
        Ok(format!(
            "{outboxes} events in outboxes, {messages} messages in queues"
        ))
    }
}

/// Connects the services to the servers through proxies of their own, and restarts them. The
/// database then acknowledges a commit only when it is durable.
async fn insert_proxies(
    stack: &mut Stack,
    points: &PointWatch,
) -> anyhow::Result<BTreeMap<Link, Arc<Proxy>>> {
    let mut proxies = BTreeMap::new();
    for link in Link::all() {
        let service = stack.service(link.from.id())?;
        let variable = link.to.variable();
        let (proxy, through) = Proxy::in_front_of(service.variable(variable)?).await?;
        proxy.watch(points.of(link));
        service.set(variable, through);
        proxies.insert(link, Arc::new(proxy));
    }
    for target in Target::ALL {
        stack.service(target.id())?.kill();
    }
    Ok(proxies)
}

/// Puts a load balancer in front of the nodes of RabbitMQ, if it is a cluster.
fn balance(stack: &Stack, proxies: &BTreeMap<Link, Arc<Proxy>>) -> Option<Balancer> {
    let cluster = stack.servers.rabbitmq_cluster.as_ref()?;
    let first = stack.servers.rabbitmq.address();
    let others = cluster.others.iter().map(RabbitMq::address);
    let nodes = std::iter::once(first).chain(others).collect();
    let to_broker = proxies.iter().filter(|(link, _)| link.to == Server::Broker);
    let proxies = to_broker.map(|(_, proxy)| Arc::clone(proxy)).collect();
    Some(Balancer::start(nodes, proxies))
}
