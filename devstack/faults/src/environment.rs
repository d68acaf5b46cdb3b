//! The stack of the suite: real servers, the services' own binaries, and a proxy on each way
//! between a service and what it connects to.

mod api;
mod rows;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use devstack::{Options, Stack};
use latchkey_servers::{Progress, Proxy};

use crate::fault::{Link, Target};
use crate::shadow::Shadow;
pub use api::Api;

/// Lifetime of access tokens: short, so that tokens are refreshed all the time.
const TOKEN_LIFETIME: Duration = Duration::from_secs(10);
/// Delays before a message is handled again: short, so that the settle phase is.
const RETRY_DELAYS: &str = "1s,2s,5s";
/// How often a service that ends by itself is started again after a fault.
const STARTS: usize = 5;

/// Everything that runs during the suite.
#[derive(Debug)]
pub struct Environment {
    /// The stack.
    pub stack: Stack,
    /// The queue that receives every event.
    pub shadow: Shadow,
    proxies: BTreeMap<Link, Proxy>,
    api: Api,
}

impl Environment {
    /// Starts everything.
    ///
    /// # Errors
    /// A server or a service does not start.
    pub async fn start(progress: &Progress) -> anyhow::Result<Self> {
        let mut options = Options::test()
            // One machine has the addresses of all people.
            .with("RATE_LIMIT_PER_ADDRESS", "0")
            .with("RETRY_DELAYS", RETRY_DELAYS);
        options.group = "faults";
        options.progress = std::sync::Arc::clone(progress);
        options.access_token_lifetime = TOKEN_LIFETIME;
        let mut stack = Stack::start(options).await?;
        rows::prepare(stack.pool()).await?;
        let shadow = Shadow::start(&stack.servers.rabbitmq.url()).await?;
        let api = Api::new(stack.servers.rabbitmq.api_url())?;
        let proxies = insert_proxies(&mut stack).await?;
        let mut environment = Self {
            stack,
            shadow,
            proxies,
            api,
        };
        environment.supervise().await?;
        Ok(environment)
    }

    /// Returns the proxy of a link.
    pub fn proxy(&self, link: Link) -> Option<&Proxy> {
        self.proxies.get(&link)
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
        rows::read(self.stack.pool()).await
    }

    /// Returns what still waits to be published or handled; empty if nothing does.
    ///
    /// # Errors
    /// The database fails.
    pub async fn waiting(&self) -> anyhow::Result<String> {
        let outboxes = rows::outboxes(self.stack.pool()).await?;
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
async fn insert_proxies(stack: &mut Stack) -> anyhow::Result<BTreeMap<Link, Proxy>> {
    let mut proxies = BTreeMap::new();
    for link in Link::all() {
        let service = stack.service(link.from.id())?;
        let variable = link.to.variable();
        let url = service
            .environment()
            .find(|(name, _)| *name == variable)
            .and_then(|(_, value)| value.to_str())
            .with_context(|| format!("{} has no {variable}", link.from.name()))?
            .to_owned();
        let (proxy, through) = Proxy::in_front_of(&url).await?;
        service.set(variable, through);
        proxies.insert(link, proxy);
    }
    for target in Target::ALL {
        stack.service(target.id())?.kill();
    }
    Ok(proxies)
}
