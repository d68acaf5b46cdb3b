//! The public keys with which this deployment authenticates at providers.

use actix_web::{HttpResponse, web};

use crate::http::router::Routes;
use crate::session::metadata::public;
use crate::state::State;

/// Registers the route.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_client_jwks, client_jwks);
}

/// Returns the public keys with which this deployment authenticates at providers
/// (`private_key_jwt`): the `jwks_uri` of its client there.
///
/// The set is empty if no provider is configured with such a key. A new key has to be
/// published for longer than providers cache this response before it signs.
#[utoipa::path(get, path = "/.well-known/client-jwks.json", tag = "sign-in", responses(
    (status = 200, description = "JWK set (RFC 7517 section 5)", content_type = "application/jwk-set+json",
        body = serde_json::Value)))]
async fn client_jwks(state: web::Data<State>) -> HttpResponse {
    public("application/jwk-set+json", &state.providers.client_jwks())
}
