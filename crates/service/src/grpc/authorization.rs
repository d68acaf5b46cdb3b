//! Authorization in front of a gRPC server: every call is authorized before its message is read,
//! whatever its method.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::future::Either;
use latchkey_proto::reason::Reason;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::CallError;

/// Decides which calls are allowed.
pub trait Authorize {
    /// Allows a call, and may add facts about the caller for the handlers to its extensions.
    ///
    /// # Errors
    /// The status of a call that is not allowed.
    fn authorize(&self, request: &mut http::Request<Body>) -> Result<(), Status>;
}

/// A layer that passes the calls that `A` allows.
#[derive(Debug, Clone)]
pub struct AuthorizationLayer<A>(pub A);

impl<A: Clone, S> Layer<S> for AuthorizationLayer<A> {
    type Service = AuthorizationService<A, S>;

    fn layer(&self, inner: S) -> AuthorizationService<A, S> {
        AuthorizationService {
            authorizer: self.0.clone(),
            inner,
        }
    }
}

/// A service behind an [`AuthorizationLayer`].
#[derive(Debug, Clone)]
pub struct AuthorizationService<A, S> {
    authorizer: A,
    inner: S,
}

impl<A, S> Service<http::Request<Body>> for AuthorizationService<A, S>
where
    A: Authorize,
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        match self.authorizer.authorize(&mut request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

/// The status of a caller that is not authenticated.
pub fn caller_unknown() -> Status {
    CallError::new(
        Reason::CallerUnknown,
        "the caller is unknown: neither a certificate nor a token names it",
    )
    .into()
}

/// The status of a call that the policy does not allow, and of a call about an account that the
/// caller must not know of: the message is the same for both.
pub fn caller_not_allowed() -> Status {
    CallError::new(
        Reason::CallerNotAllowed,
        "the policy does not allow this call",
    )
    .into()
}
