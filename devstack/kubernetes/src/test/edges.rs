//! The network policies open the edges of the picture in `deploy/kubernetes/README.md`, and no
//! others. A connection is made in the network namespace of a pod, because images have no shell.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use crate::addresses::{API_SERVICE_IP, NODE_IP};
use crate::deployment::NAMESPACE;
use crate::kubectl::Kubectl;
use crate::session::Session;

use super::report::Row;

/// Name in the table.
pub(super) const NAME: &str = "network policies";
/// A connection that is not made in this many seconds is refused by a policy, which drops packets.
const TIMEOUT: &str = "2";
/// The network plugin learns of new pods within this time.
const SETTLE: Duration = Duration::from_secs(5);
/// Pods of another namespace.
const NEIGHBOURS: &str = include_str!("neighbours.yaml");
/// Their namespace.
const THEIR_NAMESPACE: &str = "neighbours";

/// Connections that must be possible: from, to, port.
const OPEN: [(&str, &str, u16); 17] = [
    ("auth-svc", "sync-svc", 50052),
    ("auth-svc", "refresh-svc", 50051),
    ("auth-svc", "demo-provider", 8443),
    ("auth-svc", SERVERS, 5432),
    ("auth-svc", SERVERS, 5672),
    ("sync-svc", SERVERS, 5432),
    ("sync-svc", SERVERS, 5672),
    ("refresh-svc", "demo-provider", 8443),
    ("refresh-svc", SERVERS, 5432),
    ("refresh-svc", SERVERS, 5672),
    ("auth-svc", "coredns", 53),
    // The namespace has the labels `ingress` and `metrics`.
    ("neighbour", "auth-svc", 8080),
    ("neighbour", "auth-svc", 8083),
    ("neighbour", "sync-svc", 8081),
    ("neighbour", "refresh-svc", 8082),
    ("caller", "refresh-svc", 50051),
    ("caller", "sync-svc", 50052),
];

/// Connections that must not be possible.
const CLOSED: [(&str, &str, u16); 21] = [
    ("auth-svc", "sync-svc", 8081),
    ("auth-svc", "refresh-svc", 8082),
    ("auth-svc", API, 443),
    ("sync-svc", "auth-svc", 8080),
    ("sync-svc", "refresh-svc", 50051),
    ("sync-svc", "demo-provider", 8443),
    ("sync-svc", API, 443),
    ("refresh-svc", "auth-svc", 8080),
    ("refresh-svc", "sync-svc", 50052),
    ("refresh-svc", API, 443),
    ("demo-provider", "auth-svc", 8080),
    ("demo-provider", "refresh-svc", 50051),
    ("demo-provider", SERVERS, 5432),
    ("demo-provider", SERVERS, 5672),
    ("coredns", "auth-svc", 8080),
    ("coredns", "refresh-svc", 50051),
    ("coredns", "sync-svc", 50052),
    // The namespace has the label `caller`, the pod does not.
    ("neighbour", "refresh-svc", 50051),
    ("neighbour", "sync-svc", 50052),
    ("caller", "demo-provider", 8443),
    ("coredns", "auth-svc", 8083),
];

/// PostgreSQL and RabbitMQ.
const SERVERS: &str = "servers";
/// The Kubernetes API.
const API: &str = "kubernetes";

/// A pod: its address, and the process whose network namespace is its own.
struct Pod {
    address: String,
    process: String,
}

/// Tries every connection.
pub(super) async fn run(session: &Session, kubectl: &Kubectl) -> anyhow::Result<Row> {
    kubectl.run_with(&["apply", "-f", "-"], NEIGHBOURS).await?;
    let ready = ["wait", "--for=condition=Ready", "pod", "--all"];
    let theirs = ["--namespace", THEIR_NAMESPACE, "--timeout=60s"];
    kubectl.run(&[ready.as_slice(), &theirs].concat()).await?;
    tokio::time::sleep(SETTLE).await;
    let pods = pods(session, kubectl).await?;
    let mut problems = Vec::new();
    for (edges, wanted) in [(OPEN.as_slice(), true), (CLOSED.as_slice(), false)] {
        for (from, to, port) in edges {
            let process = &pods
                .get(*from)
                .with_context(|| format!("no pod {from}"))?
                .process;
            let address = match *to {
                SERVERS => NODE_IP.to_string(),
                API => API_SERVICE_IP.to_string(),
                other => {
                    let pod = pods.get(other).with_context(|| format!("no pod {other}"))?;
                    pod.address.clone()
                }
            };
            if connects(process, &address, *port).await? != wanted {
                let state = if wanted { "closed" } else { "open" };
                problems.push(format!("{from} to {to}, port {port}, is {state}"));
            }
        }
    }
    kubectl
        .run(&["delete", "namespace", THEIR_NAMESPACE, "--wait=false"])
        .await?;
    let load = format!("{} open, {} closed", OPEN.len(), CLOSED.len());
    Ok(Row::without_load(NAME, load, problems))
}

/// Returns `true` if a process in the network namespace of another connects.
async fn connects(process: &str, address: &str, port: u16) -> anyhow::Result<bool> {
    let status = Command::new("nsenter")
        .args([
            "--net", "--target", process, "timeout", TIMEOUT, "bash", "-c",
        ])
        .arg(format!("exec 3<>/dev/tcp/{address}/{port}"))
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .status()
        .await?;
    Ok(status.success())
}

/// Returns one running pod of each name, among them the name server.
async fn pods(session: &Session, kubectl: &Kubectl) -> anyhow::Result<BTreeMap<String, Pod>> {
    let processes = processes(session).await?;
    let mut pods = BTreeMap::new();
    for namespace in [NAMESPACE, "kube-system", THEIR_NAMESPACE] {
        let list = ["--namespace", namespace, "get", "pods"];
        let running = ["--field-selector=status.phase=Running"];
        let list = kubectl
            .json(&[list.as_slice(), running.as_slice()].concat())
            .await?;
        for pod in list
            .get("items")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |path| {
                pod.pointer(path)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let container = text("/status/containerStatuses/0/containerID");
            let id = container.trim_start_matches("containerd://");
            if let Some(process) = processes.get(id) {
                let pod = Pod {
                    address: text("/status/podIP").to_owned(),
                    process: process.clone(),
                };
                pods.insert(text("/spec/containers/0/name").to_owned(), pod);
            }
        }
    }
    Ok(pods)
}

/// Returns the process of each container.
async fn processes(session: &Session) -> anyhow::Result<BTreeMap<String, String>> {
    let output = Command::new(session.programs.directory("containerd")?.join("ctr"))
        .args(["--namespace", "k8s.io", "task", "list"])
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rows = text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    Ok(rows.collect())
}
