//! The tower layer.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use latchkey_client::{AuthorizeError, AuthorizeLayer, TokenError, TokenRequest};
use tonic::Code;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{World, status};

/// A provider's API that refuses some tokens and records what it received.
#[derive(Clone, Default)]
struct Api {
    refuses: Arc<Mutex<Vec<&'static str>>>,
    sent: Arc<Mutex<Vec<(String, String)>>>,
}

impl Api {
    fn refusing(tokens: &[&'static str]) -> Self {
        let api = Self::default();
        api.refuses.lock().unwrap().extend(tokens);
        api
    }

    fn answer(&self, request: &Request<String>) -> Response<()> {
        let bearer = request.headers()[AUTHORIZATION]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
        let refused = self
            .refuses
            .lock()
            .unwrap()
            .iter()
            .any(|token| bearer == format!("Bearer {token}"));
        self.sent
            .lock()
            .unwrap()
            .push((bearer, request.body().clone()));
        let mut response = Response::new(());
        if refused {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        response
    }

    async fn send(
        &self,
        layer: &AuthorizeLayer<String>,
        request: Request<String>,
    ) -> Result<StatusCode, AuthorizeError<Infallible>> {
        let api = self.clone();
        let service = service_fn(move |request: Request<String>| {
            let response = api.answer(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        layer
            .layer(service)
            .oneshot(request)
            .await
            .map(|response| response.status())
    }

    fn sent(&self) -> Vec<(String, String)> {
        self.sent.lock().unwrap().clone()
    }
}

fn post(body: &str) -> Request<String> {
    Request::post("https://api.example.com/messages")
        .body(body.to_owned())
        .unwrap()
}

fn sent(tokens: &[&str]) -> Vec<(String, String)> {
    tokens
        .iter()
        .map(|token| (format!("Bearer {token}"), "hello".to_owned()))
        .collect()
}

#[tokio::test]
async fn a_request_goes_out_with_the_token_in_place_of_any_other() {
    let world = World::create().await;
    let layer = AuthorizeLayer::new(world.client()).token(world.account);
    let api = Api::default();
    let mut request = post("hello");
    request
        .headers_mut()
        .insert(AUTHORIZATION, "Basic other".parse().unwrap());
    assert_eq!(api.send(&layer, request).await.unwrap(), StatusCode::OK);
    assert_eq!(api.sent(), sent(&["secret-1"]));
}

#[tokio::test]
async fn a_request_may_name_its_own_account() {
    let world = World::create().await;
    let layer = AuthorizeLayer::new(world.client());
    let api = Api::default();
    let error = api.send(&layer, post("hello")).await.unwrap_err();
    assert!(matches!(error, AuthorizeError::NoAccount));

    let mut request = post("hello");
    request
        .extensions_mut()
        .insert(TokenRequest::new(world.account));
    api.send(&layer, request).await.unwrap();
    assert_eq!(api.sent(), sent(&["secret-1"]));
}

#[tokio::test]
async fn a_401_replaces_the_token_and_sends_the_same_request_once_more() {
    let world = World::create().await;
    let layer = AuthorizeLayer::new(world.client()).token(world.account);
    let api = Api::refusing(&["secret-1"]);
    let answer = api.send(&layer, post("hello")).await.unwrap();
    assert_eq!(answer, StatusCode::OK);
    assert_eq!(api.sent(), sent(&["secret-1", "secret-2"]));
    assert_eq!(world.state.refreshes(), 1);
}

#[tokio::test]
async fn a_second_401_is_the_answer() {
    let world = World::create().await;
    let layer = AuthorizeLayer::new(world.client()).token(world.account);
    let api = Api::refusing(&["secret-1", "secret-2"]);
    for _ in 0..5 {
        let answer = api.send(&layer, post("hello")).await.unwrap();
        assert_eq!(answer, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.state.issued(), 2, "and no storm at the provider");
}

#[tokio::test]
async fn a_body_that_cannot_be_copied_is_sent_once_and_the_next_has_a_new_token() {
    let world = World::create().await;
    let layer = AuthorizeLayer::with_copy(world.client(), |_| None).token(world.account);
    let api = Api::refusing(&["secret-1"]);
    let first = api.send(&layer, post("hello")).await.unwrap();
    assert_eq!(first, StatusCode::UNAUTHORIZED);
    let second = api.send(&layer, post("hello")).await.unwrap();
    assert_eq!(second, StatusCode::OK);
    assert_eq!(api.sent(), sent(&["secret-1", "secret-2"]));
}

// R34
#[tokio::test]
async fn a_dead_grant_found_after_a_401_is_returned_as_the_error() {
    let world = World::create().await;
    let client = world.client();
    client.access_token(world.account).await.unwrap();
    world.state.fail_always(Some(status(
        Code::FailedPrecondition,
        "INVALID_REFRESH_TOKEN",
        None,
        &[],
    )));
    let layer = AuthorizeLayer::new(client).token(world.account);
    let api = Api::refusing(&["secret-1"]);
    let error = api.send(&layer, post("hello")).await.unwrap_err();
    let AuthorizeError::Token(TokenError::SignInAgain { .. }) = error else {
        panic!("{error}");
    };
}

// R35
#[tokio::test]
async fn no_token_goes_out_without_tls() {
    let world = World::create().await;
    let layer = AuthorizeLayer::new(world.client()).token(world.account);
    let api = Api::default();
    for plain in [
        "http://api.example.com/",
        "HTTP://a.example/",
        "ws://a.example/",
    ] {
        let mut request = post("hello");
        *request.uri_mut() = plain.parse().unwrap();
        let error = api.send(&layer, request).await.unwrap_err();
        assert!(matches!(error, AuthorizeError::Plaintext), "{plain}");
    }
    assert!(api.sent().is_empty());
}
