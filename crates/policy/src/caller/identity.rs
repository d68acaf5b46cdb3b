//! The identity of a caller.

use std::sync::Arc;

use latchkey_service::grpc::{Peer, PeerCertificate};

/// An authenticated caller. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Authenticated by a client certificate. The certificate has a name unless the policy
    /// is open.
    Certificate(Arc<PeerCertificate>),
    /// Authenticated by a token of a Kubernetes service account:
    /// `system:serviceaccount:<namespace>:<name>`.
    ServiceAccount(Arc<str>),
}

impl Caller {
    /// The caller of a connection; `None` without a client certificate.
    pub(super) fn of_peer(peer: &Peer) -> Option<Self> {
        peer.certificate.clone().map(Self::Certificate)
    }

    /// Every name that the caller has proved.
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

    /// The first name, which is recorded; empty if there is none.
    pub fn name(&self) -> &str {
        self.names().next().unwrap_or_default()
    }
}
