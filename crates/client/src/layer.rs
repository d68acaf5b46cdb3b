//! A tower layer that adds tokens to outgoing requests.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode, Uri, header};
use tower::{Layer, Service, ServiceExt as _};

use crate::{Token, TokenClient, TokenError, TokenRequest};

/// Adds `Authorization: Bearer` to outgoing requests to a provider's API. After a 401 it
/// replaces the token and sends the request once more, if the body can be copied.
///
/// The account is that of the layer, or a [`TokenRequest`] among the request's
/// extensions. Use it around a client that talks to one provider's API and does not
/// follow redirects to other hosts: the token is sent to every host that the request is
/// sent to.
pub struct AuthorizeLayer<B> {
    client: TokenClient,
    token_request: Option<TokenRequest>,
    copy: fn(&B) -> Option<B>,
}

impl<B> AuthorizeLayer<B> {
    /// For bodies that can be cloned.
    pub fn new(client: TokenClient) -> Self
    where
        B: Clone,
    {
        Self::with_copy(client, |body| Some(body.clone()))
    }

    /// For bodies that cannot always be copied. `|_| None` sends no request twice.
    pub fn with_copy(client: TokenClient, copy: fn(&B) -> Option<B>) -> Self {
        Self {
            client,
            token_request: None,
            copy,
        }
    }

    /// Token for requests that have no [`TokenRequest`] of their own.
    #[must_use]
    pub fn token(mut self, request: impl Into<TokenRequest>) -> Self {
        self.token_request = Some(request.into());
        self
    }
}

impl<B> Clone for AuthorizeLayer<B> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            token_request: self.token_request.clone(),
            copy: self.copy,
        }
    }
}

impl<B> fmt::Debug for AuthorizeLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeLayer")
            .field("client", &self.client)
            .field("token", &self.token_request)
            .finish_non_exhaustive()
    }
}

impl<S, B> Layer<S> for AuthorizeLayer<B> {
    type Service = Authorize<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorize {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of an [`AuthorizeLayer`].
#[derive(Debug)]
pub struct Authorize<S, B> {
    inner: S,
    layer: AuthorizeLayer<B>,
}

impl<S: Clone, B> Clone for Authorize<S, B> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

/// Why a request was not sent or not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizeError<E> {
    /// Neither the request nor the layer names an account.
    #[error("neither the request nor the layer names an account")]
    NoAccount,
    /// RFC 6750 section 5.3: a token is not sent without TLS, except to the local host.
    #[error("refused to send a token without TLS")]
    Plaintext,
    /// There is no token.
    #[error(transparent)]
    Token(TokenError),
    /// The inner service failed.
    #[error("{0}")]
    Service(#[source] E),
}

impl<S, B, R> Service<Request<B>> for Authorize<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = AuthorizeError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner
            .poll_ready(context)
            .map_err(AuthorizeError::Service)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready must be the one that is called.
        let inner = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, inner);
        let layer = self.layer.clone();
        Box::pin(send(ready, layer, request))
    }
}

async fn send<S, B, R>(
    mut service: S,
    layer: AuthorizeLayer<B>,
    mut request: Request<B>,
) -> Result<Response<R>, AuthorizeError<S::Error>>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    if is_plaintext(request.uri()) {
        return Err(AuthorizeError::Plaintext);
    }
    let own = request.extensions_mut().remove::<TokenRequest>();
    let token_request = own
        .or(layer.token_request)
        .ok_or(AuthorizeError::NoAccount)?;
    let token = layer.client.access_token(token_request).await;
    let token = token.map_err(AuthorizeError::Token)?;

    let again = copy(&request, layer.copy);
    authorize(&mut request, &token);
    let response = service.call(request).await;
    let response = response.map_err(AuthorizeError::Service)?;
    if response.status() != StatusCode::UNAUTHORIZED {
        return Ok(response);
    }
    let Some(mut again) = again else {
        token.refused();
        return Ok(response);
    };
    let token = match layer.client.replace_after_401(&token).await {
        Ok(token) => token,
        // The token is not the cause: the API's own answer is more helpful.
        Err(TokenError::StillRefused) => return Ok(response),
        Err(error) => return Err(AuthorizeError::Token(error)),
    };
    drop(response);
    authorize(&mut again, &token);
    let service = service.ready().await.map_err(AuthorizeError::Service)?;
    service.call(again).await.map_err(AuthorizeError::Service)
}

fn authorize<B>(request: &mut Request<B>, token: &Token) {
    request
        .headers_mut()
        .insert(header::AUTHORIZATION, token.authorization());
}

fn copy<B>(request: &Request<B>, copy: fn(&B) -> Option<B>) -> Option<Request<B>> {
    let mut again = Request::new(copy(request.body())?);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    *again.headers_mut() = request.headers().clone();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

fn is_plaintext(uri: &Uri) -> bool {
    let loopback = matches!(
        uri.host(),
        Some("localhost" | "127.0.0.1" | "[::1]" | "::1")
    );
    uri.scheme_str().is_some_and(|scheme| scheme != "https") && !loopback
}
