//! Configuration files of the node's programs.

use std::fs;
use std::path::Path;

use crate::addresses::{DNS_IP, NODE, PODS};
use crate::image::PAUSE;
use crate::session::Session;

use super::Identities;

/// Paths of the files, as text for flags.
pub(super) struct Files {
    pub containerd: String,
    pub kubelet: String,
    pub proxy: String,
}

/// Writes the files.
pub(super) fn write(session: &Session, identities: &Identities) -> anyhow::Result<Files> {
    let directory = session.directory.join("node");
    let networks = directory.join("networks");
    fs::create_dir_all(&networks)?;
    fs::write(networks.join("10-bridge.conflist"), network())?;
    // Pods have no name server but that of the cluster.
    fs::write(directory.join("resolv.conf"), "")?;
    let write = |name: &str, text: String| -> anyhow::Result<String> {
        let path = directory.join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let plugins = session.programs.directory("containerd")?;
    Ok(Files {
        containerd: write("containerd.toml", containerd(&directory, plugins))?,
        kubelet: write("kubelet.yaml", kubelet(session, identities, &directory))?,
        proxy: write("proxy.yaml", proxy(identities))?,
    })
}

/// The network of the pods: a bridge on the node.
fn network() -> String {
    let node = PODS.replace("/16", "/24");
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
    "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{node}"}}]],
             "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
]}}
"#
    )
}

fn containerd(directory: &Path, plugins: &Path) -> String {
    format!(
        r#"version = 3
root = "{directory}/containerd"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
  # A score below that of this process is not allowed on every machine.
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{plugins}"]
  conf_dir = "{directory}/networks"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#,
        directory = directory.display(),
        plugins = plugins.display(),
    )
}

fn kubelet(session: &Session, identities: &Identities, directory: &Path) -> String {
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {{ enabled: false }}
  webhook: {{ enabled: true }}
  x509: {{ clientCAFile: "{authority}" }}
authorization: {{ mode: Webhook }}
tlsCertFile: "{certificate}"
tlsPrivateKeyFile: "{key}"
cgroupDriver: cgroupfs
cgroupRoot: "{cgroup}"
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
podLogsDir: "{pods}"
# Images are imported once and cannot be pulled again.
imageGCHighThresholdPercent: 100
evictionHard: {{ memory.available: "100Mi" }}
clusterDNS: ["{DNS_IP}"]
clusterDomain: cluster.local
resolvConf: "{directory}/resolv.conf"
"#,
        authority = identities.path("ca.crt"),
        certificate = identities.path("kubelet.crt"),
        key = identities.path("kubelet.key"),
        cgroup = session.cgroup,
        pods = session.logs().join("pods").display(),
        directory = directory.display(),
    )
}

fn proxy(identities: &Identities) -> String {
    format!(
        r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{ kubeconfig: "{kubeconfig}" }}
mode: iptables
clusterCIDR: {PODS}
hostnameOverride: {NODE}
# The limits of the machine are left alone.
conntrack: {{ maxPerCore: 0, min: 0 }}
"#,
        kubeconfig = identities.path("proxy.conf"),
    )
}
