//! The message of an access token.

use latchkey_proto::timestamp;
use latchkey_proto::token::AccessToken;

use crate::snapshot::Snapshot;

/// Returns `None` if the snapshot has no token.
pub(super) fn message(snapshot: &Snapshot) -> Option<AccessToken> {
    let held = snapshot.token.as_ref()?;
    Some(AccessToken {
        access_token: held.token.expose().to_owned(),
        token_type: "Bearer".to_owned(),
        expires_at: Some(timestamp(held.expires_at)),
        granted_scopes: snapshot.granted_scopes.to_vec(),
        account_id: snapshot.account.to_string(),
        version: snapshot.version,
        provider: snapshot.provider().to_string(),
        reason: String::new(),
    })
}
