//! The end of keep-alive connections when the service stops.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::{Error, web};

use crate::state::State;

/// Middleware that adds `Connection: close` to every response while the service stops (RFC 9112,
/// section 9.6).
///
/// A proxy that keeps a connection open goes on using it although the replica is not ready any
/// more: readiness decides only where new connections go. If the connection were open until the
/// listener closes, the next request could arrive while the server closes it, and would fail.
/// Closed after a response, no request is lost, and the proxy connects to another replica. New
/// connections are still accepted until `SHUTDOWN_DELAY` has passed, because a proxy may not have
/// noticed yet that the replica is not ready.
///
/// # Errors
/// Returns the error of the handler.
pub async fn end_keep_alive<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let state = request.app_data::<web::Data<State>>().cloned();
    let mut response = next.call(request).await?;
    if state.is_some_and(|state| state.stopping.is_cancelled()) {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}
