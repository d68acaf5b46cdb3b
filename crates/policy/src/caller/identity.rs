//! Who calls.

use std::sync::Arc;

use latchkey_service::grpc::{Peer, PeerCertificate};

/// A caller that was authenticated. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// By a client certificate; only where the policy is open it may be without
    /// names.
    Certificate(Arc<PeerCertificate>),
    /// By a token of a Kubernetes service account:
    /// `system:serviceaccount:<namespace>:<name>`.
    ServiceAccount(Arc<str>),
}

impl Caller {
    /// The caller of a connection.
    pub(super) fn of_peer(peer: &Peer) -> Option<Self> {
        peer.certificate.clone().map(Self::Certificate)
    }

    /// Every name that the caller has proved to have.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (certificate, account) = match self {
            Self::Certificate(certificate) => (Some(certificate), None),
            Self::ServiceAccount(name) => (None, Some(&**name)),
        };
        certificate
            .into_iter()
            .flat_map(|certificate| certificate.names())
            .chain(account)
    }

    /// The name to write down: the first.
    pub fn name(&self) -> &str {
        self.names().next().unwrap_or_default()
    }
}
