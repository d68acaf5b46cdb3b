//! The addresses of Latchkey's services in the cluster, and clients of them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use devstack::browser::Browser;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use reqwest::ClientBuilder;
use serde_json::Value;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::addresses::API_PORT;
use crate::deployment::{Deployment, NAMESPACE};
use crate::forward::Target;
use crate::kubectl::Kubectl;

/// `PUBLIC_URL` of the overlay `dev`.
pub const PUBLIC_URL: &str = "http://localhost:8080";
/// The demo provider's `DEMO_PROVIDER_PUBLIC_URL` in the overlay `dev`.
pub const DEMO_URL: &str = "https://demo-provider:8443";

/// The services of the overlay `dev`.
#[derive(Debug)]
pub struct Services {
    addresses: BTreeMap<String, IpAddr>,
    /// The authority of the demo provider's certificate, PEM.
    authority: Vec<u8>,
    /// Directory with the certificate of the client that the policies allow.
    pub client: PathBuf,
    /// Directory with another valid certificate.
    pub stranger: PathBuf,
}

impl Services {
    /// Reads the addresses of the services.
    ///
    /// # Errors
    /// The cluster does not answer, or a file of `make-secrets` is missing.
    pub async fn find(kubectl: &Kubectl, deployment: &Deployment) -> anyhow::Result<Self> {
        let list = ["--namespace", NAMESPACE, "get", "services"];
        let list = kubectl.json(&list).await?;
        let items = list.get("items").and_then(Value::as_array);
        let addresses = items.into_iter().flatten().filter_map(|service| {
            let text = |path| service.pointer(path).and_then(Value::as_str);
            let address = text("/spec/clusterIP")?.parse().ok()?;
            Some((text("/metadata/name")?.to_owned(), address))
        });
        Ok(Self {
            addresses: addresses.collect(),
            authority: fs::read(deployment.secrets("dev/demo-provider-tls/ca.crt"))?,
            client: deployment.secrets("client"),
            stranger: deployment.secrets("base/auth-svc-tls"),
        })
    }

    /// Returns the address of what a port of the host leads to.
    ///
    /// # Errors
    /// There is no such service.
    pub fn address(&self, target: Target) -> anyhow::Result<SocketAddr> {
        let (name, port) = match target {
            Target::Api => return Ok((Ipv4Addr::LOCALHOST, API_PORT).into()),
            Target::Auth => ("auth-svc", 8080),
            Target::DemoProvider => ("demo-provider", 8443),
            Target::Refresh => ("refresh-svc", 50051),
            Target::Sync => ("sync-svc", 50052),
        };
        let address = self.addresses.get(name);
        let address = address.with_context(|| format!("there is no service {name}"))?;
        Ok(SocketAddr::new(*address, port))
    }

    /// Returns a client for [`PUBLIC_URL`] and [`DEMO_URL`] that trusts the demo provider.
    ///
    /// # Errors
    /// A service is missing, or the certificate of the authority is not one.
    pub fn http(&self) -> anyhow::Result<ClientBuilder> {
        let authority = reqwest::Certificate::from_pem(&self.authority)?;
        Ok(reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([authority])
            .resolve("localhost", self.address(Target::Auth)?)
            .resolve("demo-provider", self.address(Target::DemoProvider)?))
    }

    /// Returns a browser without cookies.
    ///
    /// # Errors
    /// See [`Services::http`].
    pub fn browser(&self) -> anyhow::Result<Browser> {
        Browser::with(self.http()?)
    }

    /// Connects to refresh-svc with the certificate and the authorities of a directory. A lost
    /// connection is made again with the next call.
    ///
    /// # Errors
    /// A file cannot be read, or the connection fails.
    pub async fn tokens(&self, caller: &Path) -> anyhow::Result<TokenServiceClient<Channel>> {
        let identity = Identity::from_pem(
            fs::read(caller.join("tls.crt"))?,
            fs::read(caller.join("tls.key"))?,
        );
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(fs::read(caller.join("ca.crt"))?))
            .domain_name("refresh-svc")
            .identity(identity);
        let url = format!("https://{}", self.address(Target::Refresh)?);
        let channel = Endpoint::from_shared(url)?
            .tls_config(tls)?
            .connect()
            .await
            .context("cannot connect to refresh-svc")?;
        Ok(TokenServiceClient::new(channel))
    }
}
