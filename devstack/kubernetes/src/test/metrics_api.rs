//! The API `metrics.k8s.io`, which a metrics server usually serves: each container of the services
//! uses as much CPU as a file says. HorizontalPodAutoscalers scale by it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use latchkey_domain::{Clock as _, SystemClock};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::cluster::Identities;
use crate::deployment::NAMESPACE;
use crate::kubectl::Kubectl;
use crate::stack::Stack;

/// Port of 127.0.0.1, as the function `metrics_api` of the commands says.
const PORT: u16 = 9443;
/// File in the directory of the commands with the CPU time that each container uses.
const USAGE: &str = "cpu";
const PATH: &str = "/apis/metrics.k8s.io/v1beta1";
/// Longest head of a request.
const HEAD: usize = 64 * 1024;

struct Server {
    kubectl: Kubectl,
    usage: PathBuf,
}

/// Serves the API for as long as the tasks live.
pub(super) async fn serve(stack: &Stack, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    let acceptor = acceptor(&stack.cluster.identities)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await?;
    let server = Arc::new(Server {
        kubectl: stack.cluster.kubectl.clone(),
        usage: stack.deployment.directory.join(USAGE),
    });
    tasks.spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), Arc::clone(&server));
            tokio::spawn(async move {
                // The API server asks again.
                let _ = server.respond(&acceptor, client).await;
            });
        }
    });
    Ok(())
}

/// Serves with the certificate of the API server, which the API server does not verify.
fn acceptor(identities: &Identities) -> anyhow::Result<TlsAcceptor> {
    let certificates = CertificateDer::pem_file_iter(identities.path("apiserver.crt"))?
        .collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(identities.path("apiserver.key"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Server {
    /// Answers one request, and ends the connection.
    async fn respond(&self, acceptor: &TlsAcceptor, client: TcpStream) -> anyhow::Result<()> {
        let mut stream = acceptor.accept(client).await?;
        let mut request: Vec<u8> = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = stream.read_buf(&mut request).await?;
            anyhow::ensure!(read > 0 && request.len() < HEAD, "this is no request");
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let path = text.split(' ').nth(1).context("the request has no path")?;
        let (status, body) = match self.document(path).await? {
            Some(document) => ("200 OK", document),
            None => (
                "404 Not Found",
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}),
            ),
        };
        let body = body.to_string();
        let response = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(response.as_bytes()).await?;
        stream.shutdown().await?;
        Ok(())
    }

    /// Returns the resources of the API, or the metrics of the selected pods.
    async fn document(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let url = Url::parse("https://localhost")?.join(path)?;
        if url.path() == PATH {
            return Ok(Some(json!({
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": "metrics.k8s.io/v1beta1",
                "resources": [{
                    "name": "pods", "singularName": "", "namespaced": true,
                    "kind": "PodMetrics", "verbs": ["get", "list"],
                }],
            })));
        }
        if url.path() != format!("{PATH}/namespaces/{NAMESPACE}/pods") {
            return Ok(None);
        }
        let selector = url
            .query_pairs()
            .find(|(name, _)| name == "labelSelector")
            .map(|(_, value)| format!("--selector={value}"));
        let mut arguments = vec!["--namespace", NAMESPACE, "get", "pods"];
        arguments.extend(selector.as_deref());
        let pods = self.kubectl.json(&arguments).await?;
        let usage = std::fs::read_to_string(&self.usage)?;
        let now = SystemClock.now().format(&Rfc3339)?;
        let pods = pods.get("items").and_then(Value::as_array);
        let metrics = pods.into_iter().flatten().map(|pod| {
            let text = |path| pod.pointer(path).and_then(Value::as_str);
            json!({
                "metadata": {"name": text("/metadata/name"), "namespace": NAMESPACE},
                "timestamp": now,
                "window": "5s",
                "containers": [{
                    "name": text("/spec/containers/0/name"),
                    "usage": {"cpu": usage.trim(), "memory": "64Mi"},
                }],
            })
        });
        Ok(Some(json!({
            "kind": "PodMetricsList",
            "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {},
            "items": metrics.collect::<Vec<Value>>(),
        })))
    }
}
