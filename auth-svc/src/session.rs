//! Browser sessions: who is signed in, and signing out.

pub mod cookie;
pub mod routes;

use actix_web::HttpRequest;

use crate::app::State;
use crate::store::session::{self, Session};

/// The living session of this browser.
///
/// # Errors
/// The database's refusal.
pub async fn current(state: &State, request: &HttpRequest) -> Result<Option<Session>, sqlx::Error> {
    match cookie::secret_of(request) {
        Some(secret) => session::find(&state.pool, &secret).await,
        None => Ok(None),
    }
}
