//! The complete product on this machine: servers, demo provider, keys, database, and the three
//! services as they run in production.

mod database;
mod options;
mod policy;
mod secrets;
mod service;
mod variables;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use latchkey_demo_provider::DemoProvider;
use latchkey_proto::account::account_service_client::AccountServiceClient;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use latchkey_servers::{Certificates, KeyPairFiles, Proxy, free_port, port_or_free};
use sqlx::PgPool;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

pub use database::{Database, WORKSPACE_DOMAINS, WORKSPACE_NAME};
pub use options::Options;
pub use service::{Service, ServiceId};

use crate::servers::Servers;
use variables::Wiring;

/// A running stack. Everything is stopped when it is dropped.
#[derive(Debug)]
pub struct Stack {
    // Fields are dropped in this order, the services before what they need.
    services: BTreeMap<ServiceId, Service>,
    database: Database,
    demo: DemoProvider,
    proxy: Option<Proxy>,
    /// PostgreSQL, RabbitMQ and the run's directory.
    pub servers: Servers,
    authority: PathBuf,
    client: KeyPairFiles,
    stranger: KeyPairFiles,
    public_url: String,
    grpc_ports: BTreeMap<ServiceId, u16>,
    auth_urls: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Stack {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// A server or service does not start. The error contains the end of its log.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let progress = &options.progress;
        let servers = if options.durable {
            Servers::start_durable(options.group, progress).await?
        } else {
            Servers::start_cluster(options.group, progress, options.rabbitmq_nodes).await?
        };
        let directory = servers.directory();

        progress("making keys and certificates, migrating the database");
        let certificates = Certificates::create(&directory.join("certificates"))?;
        let client = certificates.client(policy::CLIENT)?;
        let stranger = certificates.client(policy::STRANGER)?;
        let secrets = secrets::Secrets::generate()?;
        let proxy = if options.proxy {
            Some(Proxy::start(servers.postgres.address()).await?)
        } else {
            None
        };
        let (database, demo) = tokio::try_join!(
            Database::create(&servers.postgres, proxy.as_ref(), &options),
            start_demo(&options)
        )?;

        let port = |nice: u16| {
            if options.preferred_ports {
                port_or_free(nice)
            } else {
                free_port()
            }
        };
        let public_port = options.public_port.map_or_else(|| port(8080), Ok)?;
        let public_url = format!("http://localhost:{public_port}");
        let mut grpc_ports = BTreeMap::from([(ServiceId::Sync, port(50052)?)]);
        for replica in 0..options.refresh_replicas {
            grpc_ports.insert(ServiceId::Refresh(replica), port(50051)?);
        }

        let environment = variables::providers(&demo, &options);
        let wiring = Wiring {
            servers: &servers,
            database: &database,
            secrets: &secrets,
            certificates: &certificates,
            public_url: &public_url,
            providers: &environment,
        };
        let mut services = BTreeMap::new();
        let mut auth_urls = vec![public_url.clone()];
        services.insert(
            ServiceId::Auth,
            wiring.auth("auth-svc", public_port, &grpc_ports)?,
        );
        for replica in 1..options.auth_replicas {
            let port = free_port()?;
            let service = wiring.auth(&format!("auth-svc-{replica}"), port, &grpc_ports)?;
            services.insert(ServiceId::AuthReplica(replica), service);
            auth_urls.push(format!("http://localhost:{port}"));
        }
        for (id, port) in &grpc_ports {
            services.insert(*id, wiring.grpc(*id, *port)?);
        }
        progress("starting auth-svc, sync-svc and refresh-svc");
        futures::future::try_join_all(services.values_mut().map(Service::start)).await?;
        Ok(Self {
            services,
            database,
            demo,
            proxy,
            servers,
            authority: certificates.authority_file(),
            client,
            stranger,
            public_url,
            grpc_ports,
            auth_urls,
            environment,
        })
    }

    /// Returns the proxy between the services and the database.
    ///
    /// # Errors
    /// The stack was started without [`Options::with_proxy`].
    pub fn proxy(&self) -> anyhow::Result<&Proxy> {
        self.proxy
            .as_ref()
            .context("the stack was started without a proxy")
    }

    /// Returns the origin of auth-svc for browsers.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Returns the address of each replica of auth-svc, for requests that skip the load balancer. The
    /// first is the public one.
    pub fn auth_urls(&self) -> &[String] {
        &self.auth_urls
    }

    /// Returns the directory of this run's logs, keys and data.
    pub fn directory(&self) -> PathBuf {
        self.servers.directory()
    }

    /// Returns the demo identity provider.
    pub fn demo(&self) -> &DemoProvider {
        &self.demo
    }

    /// Returns connections of the database's superuser.
    pub fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    /// Returns the database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Returns the variables of the services that configure providers.
    pub fn provider_environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Returns a service, to stop, kill or start it.
    ///
    /// # Errors
    /// The stack has no such service.
    pub fn service(&mut self, id: ServiceId) -> anyhow::Result<&mut Service> {
        self.services
            .get_mut(&id)
            .with_context(|| format!("there is no {id:?}"))
    }

    /// Returns every service.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceId, &Service)> {
        self.services.iter()
    }

    /// Returns `https://localhost:<port>` with the gRPC port of a service.
    ///
    /// # Errors
    /// The service has no gRPC port.
    pub fn grpc_url(&self, id: ServiceId) -> anyhow::Result<String> {
        let port = self
            .grpc_ports
            .get(&id)
            .with_context(|| format!("{id:?} has no gRPC port"))?;
        Ok(format!("https://localhost:{port}"))
    }

    /// Returns the path of the certificate authority's certificate, PEM.
    pub fn authority(&self) -> &PathBuf {
        &self.authority
    }

    /// Returns the certificate and key of a calling service.
    pub fn client(&self) -> &KeyPairFiles {
        &self.client
    }

    /// Returns the certificate and key of a service that no policy allows.
    pub fn stranger(&self) -> &KeyPairFiles {
        &self.stranger
    }

    /// Connects to a replica of refresh-svc.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn tokens(&self, replica: usize) -> anyhow::Result<TokenServiceClient<Channel>> {
        let channel = self
            .channel(ServiceId::Refresh(replica), &self.client)
            .await?;
        Ok(TokenServiceClient::new(channel))
    }

    /// Connects to refresh-svc with a valid certificate whose name no policy allows.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn tokens_as_stranger(&self) -> anyhow::Result<TokenServiceClient<Channel>> {
        let channel = self.channel(ServiceId::Refresh(0), &self.stranger).await?;
        Ok(TokenServiceClient::new(channel))
    }

    /// Connects to sync-svc.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn accounts(&self) -> anyhow::Result<AccountServiceClient<Channel>> {
        let channel = self.channel(ServiceId::Sync, &self.client).await?;
        Ok(AccountServiceClient::new(channel))
    }

    async fn channel(&self, id: ServiceId, caller: &KeyPairFiles) -> anyhow::Result<Channel> {
        let authority = tokio::fs::read(&self.authority).await?;
        let certificate = tokio::fs::read(&caller.certificate).await?;
        let key = tokio::fs::read(&caller.key).await?;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority))
            .identity(Identity::from_pem(certificate, key));
        Endpoint::from_shared(self.grpc_url(id)?)?
            .tls_config(tls)?
            .connect()
            .await
            .with_context(|| format!("cannot connect to {id:?}"))
    }
}

async fn start_demo(options: &Options) -> anyhow::Result<DemoProvider> {
    let mut config = latchkey_demo_provider::Config::default();
    config.settings.access_token_lifetime_s = options.access_token_lifetime.as_secs();
    Ok(DemoProvider::start(config).await?)
}
