//! A Kubernetes of one node: etcd, the API server and its controllers, and what a node runs.

mod configuration;
mod identities;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use latchkey_servers::{Child, ChildSpec, OnCrash, Progress};

use crate::addresses::{API_PORT, NODE, NODE_IP, SERVICES};
use crate::kubectl::Kubectl;
use crate::output::output_of;
use crate::session::Session;

pub use identities::Identities;

const DNS: &str = include_str!("cluster/dns.yaml");
const ETCD: &str = "http://127.0.0.1:2379";
/// How long each component may take to become ready.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A running cluster. Everything is killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// `kubectl` for this cluster.
    pub kubectl: Kubectl,
    /// Certificates and kubeconfigs.
    pub identities: Identities,
    components: Vec<Child>,
    logs: PathBuf,
}

impl Cluster {
    /// Starts everything, imports the images of the session, and waits until the node is ready.
    ///
    /// # Errors
    /// A component ends or does not become ready.
    pub async fn start(session: &Session, progress: &Progress) -> anyhow::Result<Self> {
        progress("starting Kubernetes");
        fs::create_dir_all(session.logs())?;
        let mut cluster = Self {
            kubectl: Kubectl::new(session)?,
            identities: Identities::create(&session.certificates())?,
            components: Vec::new(),
            logs: session.logs(),
        };
        let kubernetes = session.programs.directory("kubernetes")?;
        let containerd = session.programs.directory("containerd")?;
        let directory = session.directory.as_path();
        let files = configuration::write(session, &cluster.identities)?;

        let mut runtime = cluster.component(
            containerd,
            "containerd",
            &[format!("--config={}", files.containerd)],
        )?;
        let etcd = session.programs.directory("etcd")?;
        let etcd = cluster.component(
            etcd,
            "etcd",
            &[
                format!("--data-dir={}", directory.join("etcd").display()),
                format!("--listen-client-urls={ETCD}"),
                format!("--advertise-client-urls={ETCD}"),
                "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
                "--unsafe-no-fsync".to_owned(),
            ],
        )?;
        cluster.components.push(etcd);

        let mut api = cluster.component(kubernetes, "kube-apiserver", &cluster.api_flags())?;
        let kubectl = cluster.kubectl.clone();
        let is_ready = || async { kubectl.succeeds(&["get", "--raw", "/readyz"]).await };
        api.wait_until(TIMEOUT, is_ready).await?;
        cluster.components.push(api);

        let kubeconfig = |name: &str| {
            let file = cluster.identities.path(&format!("{name}.conf"));
            format!("--kubeconfig={file}")
        };
        let authority = cluster.identities.path("ca.crt");
        let key = cluster.identities.path("service-accounts.key");
        let controllers = cluster.component(
            kubernetes,
            "kube-controller-manager",
            &[
                kubeconfig("controller-manager"),
                format!("--service-account-private-key-file={key}"),
                format!("--root-ca-file={authority}"),
                "--use-service-account-credentials".to_owned(),
                "--leader-elect=false".to_owned(),
            ],
        )?;
        let scheduler = cluster.component(
            kubernetes,
            "kube-scheduler",
            &[kubeconfig("scheduler"), "--leader-elect=false".to_owned()],
        )?;

        let ctr = containerd.join("ctr");
        let is_ready = || async { run(&ctr, &["version"]).await.is_ok() };
        runtime.wait_until(TIMEOUT, is_ready).await?;
        for image in &session.images {
            let image = image.to_string_lossy();
            run(&ctr, &["--namespace", "k8s.io", "image", "import", &image]).await?;
        }
        let mut kubelet = cluster.component(
            kubernetes,
            "kubelet",
            &[
                format!("--config={}", files.kubelet),
                kubeconfig("kubelet"),
                format!("--root-dir={}", directory.join("kubelet").display()),
                format!("--hostname-override={NODE}"),
                format!("--node-ip={NODE_IP}"),
            ],
        )?;
        let proxy = cluster.component(
            kubernetes,
            "kube-proxy",
            &[format!("--config={}", files.proxy)],
        )?;
        let node = format!("node/{NODE}");
        let ready = ["wait", "--for=condition=Ready", &node, "--timeout=1s"];
        let is_ready = || async { kubectl.succeeds(&ready).await };
        kubelet.wait_until(TIMEOUT, is_ready).await?;
        let router = session.programs.directory("network-policy")?;
        let policies = cluster.component(
            router,
            "kube-router",
            &[
                kubeconfig("admin"),
                format!("--hostname-override={NODE}"),
                format!("--service-cluster-ip-range={SERVICES}"),
                "--run-firewall=true".to_owned(),
                "--run-router=false".to_owned(),
                "--run-service-proxy=false".to_owned(),
                "--run-loadbalancer=false".to_owned(),
            ],
        )?;
        let started = [runtime, controllers, scheduler, kubelet, proxy, policies];
        cluster.components.extend(started);
        kubectl.run_with(&["apply", "-f", "-"], DNS).await?;
        Ok(cluster)
    }

    /// Returns the name and the log of a component that has ended by itself.
    pub fn ended(&mut self) -> Option<(String, PathBuf)> {
        let mut components = self.components.iter_mut();
        let ended = components.find_map(|child| child.exited().is_some().then_some(child))?;
        let name = ended.spec().name.clone();
        let log = self.logs.join(format!("{name}.log"));
        Some((name, log))
    }

    fn api_flags(&self) -> Vec<String> {
        let file = |name: &str| self.identities.path(name);
        vec![
            format!("--etcd-servers={ETCD}"),
            format!("--advertise-address={NODE_IP}"),
            format!("--secure-port={API_PORT}"),
            format!("--service-cluster-ip-range={SERVICES}"),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            format!(
                "--service-account-signing-key-file={}",
                file("service-accounts.key")
            ),
            format!(
                "--service-account-key-file={}",
                file("service-accounts.pub")
            ),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!(
                "--kubelet-client-certificate={}",
                file("apiserver-kubelet.crt")
            ),
            format!("--kubelet-client-key={}", file("apiserver-kubelet.key")),
            format!("--kubelet-certificate-authority={}", file("ca.crt")),
        ]
    }

    /// Starts a program with its log in the session's directory of logs.
    fn component(
        &self,
        directory: &Path,
        name: &str,
        arguments: &[String],
    ) -> anyhow::Result<Child> {
        let log = self.logs.join(format!("{name}.log"));
        let mut spec = ChildSpec::new(name, directory.join(name), &self.logs, &log);
        spec.arguments = arguments.iter().map(Into::into).collect();
        // Nothing of it is needed after the run.
        spec.on_crash = OnCrash::Kill;
        Ok(Child::start(spec)?)
    }
}

async fn run(program: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(program);
    output_of(command.args(arguments)).await.map(drop)
}
