//! The associated data of an envelope, which binds it to its owner.

use latchkey_domain::GrantBinding;

use crate::{KeyId, VERSION};

/// Separates this use of the cipher from every other use.
const DOMAIN: &[u8] = b"latchkey/sealed-token/aad/v1";

/// The kind of a sealed token: an envelope of one kind does not open as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
}

impl TokenKind {
    const fn tag(self) -> &'static [u8] {
        match self {
            Self::Access => b"access_token",
            Self::Refresh => b"refresh_token",
        }
    }
}

/// The associated data of an envelope: domain, version, key id, kind of token and binding. The
/// length precedes each part, so that different parts never give the same data.
pub fn associated_data(key_id: &KeyId, kind: TokenKind, binding: &GrantBinding) -> Vec<u8> {
    let (workspace, user) = (binding.workspace.as_uuid(), binding.user.as_uuid());
    let parts: [&[u8]; 9] = [
        DOMAIN,
        &[VERSION],
        key_id.as_str().as_bytes(),
        kind.tag(),
        workspace.as_bytes(),
        user.as_bytes(),
        binding.provider.as_str().as_bytes(),
        binding.issuer.as_str().as_bytes(),
        binding.subject.as_str().as_bytes(),
    ];
    let mut data = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}
