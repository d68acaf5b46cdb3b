//! The gate in front of a gRPC server: a call is judged before its message is
//! read, whichever method it is for.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::future::Either;
use latchkey_proto::reason::Reason;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::CallError;

/// Says which calls are let in.
pub trait Authorize {
    /// Lets a call in, and may leave among its extensions what handlers should
    /// know of the caller.
    ///
    /// # Errors
    /// The call is not let in.
    fn authorize(&self, request: &mut http::Request<Body>) -> Result<(), Status>;
}

/// A layer that lets in what `A` admits.
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

/// A service behind the gate.
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

/// The status of a caller that has not shown who it is.
pub fn caller_unknown() -> Status {
    CallError::new(
        Reason::CallerUnknown,
        "who is calling is not known: neither certificate nor token names a caller",
    )
    .into()
}

/// The status of a caller that is not allowed what it asks, and of an account
/// that such a caller must not know of: the same words for both.
pub fn caller_not_allowed() -> Status {
    CallError::new(
        Reason::CallerNotAllowed,
        "the policy does not allow this to the caller",
    )
    .into()
}
