//! The gate in front of a gRPC server: a call is judged before its message is
//! read, whichever method it is for.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::future::Either;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};

/// `google.rpc.ErrorInfo.reason` where the caller is not known.
pub const CALLER_UNKNOWN: &str = "CALLER_UNKNOWN";
/// `google.rpc.ErrorInfo.reason` where it may not.
pub const CALLER_NOT_ALLOWED: &str = "CALLER_NOT_ALLOWED";

/// Says which calls are let in.
pub trait Admission {
    /// Lets a call in, and may leave among its extensions what handlers should
    /// know of the caller.
    ///
    /// # Errors
    /// The call is not let in.
    fn admit(&self, request: &mut http::Request<Body>) -> Result<(), Status>;
}

/// A layer that lets in what `A` admits.
#[derive(Debug, Clone)]
pub struct Gate<A>(pub A);

impl<A: Clone, S> Layer<S> for Gate<A> {
    type Service = Gated<A, S>;

    fn layer(&self, inner: S) -> Gated<A, S> {
        Gated {
            admission: self.0.clone(),
            inner,
        }
    }
}

/// A service behind the gate.
#[derive(Debug, Clone)]
pub struct Gated<A, S> {
    admission: A,
    inner: S,
}

impl<A, S> Service<http::Request<Body>> for Gated<A, S>
where
    A: Admission,
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        match self.admission.admit(&mut request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

/// The status of a caller that has not shown who it is.
pub fn caller_unknown() -> Status {
    refused(
        Code::Unauthenticated,
        CALLER_UNKNOWN,
        "who is calling is not known: neither certificate nor token names a caller",
    )
}

/// The status of a caller that is not allowed what it asks, and of an account
/// that such a caller must not know of: the same words for both.
pub fn caller_not_allowed() -> Status {
    refused(
        Code::PermissionDenied,
        CALLER_NOT_ALLOWED,
        "the policy does not allow this to the caller",
    )
}

fn refused(code: Code, reason: &str, words: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "latchkey", HashMap::new());
    Status::with_error_details(code, words, details)
}
