//! Certificates and kubeconfigs of the cluster's components, from an authority of their own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use latchkey_servers::new_authority;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use crate::addresses::{API_PORT, API_SERVICE_IP, NODE, NODE_IP};

/// Names of the API server's certificate.
const API_NAMES: [&str; 4] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "localhost",
];

/// Components that are clients of the API: name of the files, group and user.
const CLIENTS: [(&str, &str, &str); 5] = [
    ("admin", MASTERS, "admin"),
    ("apiserver-kubelet", MASTERS, "apiserver"),
    ("controller-manager", "", "system:kube-controller-manager"),
    ("scheduler", "", "system:kube-scheduler"),
    ("proxy", "", "system:kube-proxy"),
];

/// The group that may do everything.
const MASTERS: &str = "system:masters";

/// The files of the certificates: `ca.crt`, and `<name>.crt`, `<name>.key` and `<name>.conf`.
#[derive(Debug)]
pub struct Identities {
    directory: PathBuf,
}

impl Identities {
    /// Creates all of them.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn create(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory)?;
        let identities = Self {
            directory: directory.to_owned(),
        };
        let (authority, certificate) = new_authority("cluster")?;
        identities.write("ca.crt", &certificate)?;

        for (name, group, user) in CLIENTS {
            identities.issue(&authority, name, group, user, &[], &[])?;
            identities.write_kubeconfig(name, name, API_PORT)?;
        }
        // The kubelet is also a server, with the same certificate.
        let (group, user) = ("system:nodes", format!("system:node:{NODE}"));
        identities.issue(&authority, "kubelet", group, &user, &[NODE], &[NODE_IP])?;
        identities.write_kubeconfig("kubelet", "kubelet", API_PORT)?;
        let api = [Ipv4Addr::LOCALHOST, API_SERVICE_IP, NODE_IP];
        identities.issue(
            &authority,
            "apiserver",
            "",
            "kube-apiserver",
            &API_NAMES,
            &api,
        )?;
        // Signs the tokens of service accounts.
        let key = KeyPair::generate()?;
        identities.write("service-accounts.key", &key.serialize_pem())?;
        identities.write("service-accounts.pub", &key.public_key_pem())?;
        Ok(identities)
    }

    /// Returns the path of one of the files as text.
    pub fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Writes the kubeconfig `<file>.conf` of a client for a port of 127.0.0.1, and returns its
    /// path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_kubeconfig(&self, file: &str, name: &str, port: u16) -> anyhow::Result<PathBuf> {
        let (authority, certificate, key) = (
            self.path("ca.crt"),
            self.path(&format!("{name}.crt")),
            self.path(&format!("{name}.key")),
        );
        let text = format!(
            r#"apiVersion: v1
kind: Config
clusters:
  - name: latchkey
    cluster: {{ server: "https://127.0.0.1:{port}", certificate-authority: "{authority}" }}
users:
  - name: {name}
    user: {{ client-certificate: "{certificate}", client-key: "{key}" }}
contexts:
  - name: latchkey
    context: {{ cluster: latchkey, user: {name} }}
current-context: latchkey
"#
        );
        self.write(&format!("{file}.conf"), &text)
    }

    fn issue(
        &self,
        authority: &Issuer<'static, KeyPair>,
        name: &str,
        group: &str,
        user: &str,
        names: &[&str],
        addresses: &[Ipv4Addr],
    ) -> anyhow::Result<()> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        let addresses = addresses.iter().copied().map(IpAddr::V4);
        params
            .subject_alt_names
            .extend(addresses.map(SanType::IpAddress));
        if !group.is_empty() {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.distinguished_name.push(DnType::CommonName, user);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, authority)?;
        self.write(&format!("{name}.crt"), &certificate.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())?;
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(name);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
            .with_context(|| path.display().to_string())?;
        Ok(path)
    }
}
