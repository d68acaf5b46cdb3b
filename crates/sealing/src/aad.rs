//! What an envelope is bound to.

use latchkey_domain::GrantBinding;

use crate::{KeyId, VERSION};

/// Separates this use of the cipher from any other.
const DOMAIN: &[u8] = b"latchkey/sealed-token/aad/v1";

/// Kind of a sealed token: one cannot be passed for the other.
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

/// The associated data of an envelope: domain, version, key id, kind of token
/// and binding, each with its length before it, so that no two differ only in
/// where one part ends and the next begins.
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
