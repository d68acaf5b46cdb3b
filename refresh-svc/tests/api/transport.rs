//! Transport: mutual TLS (R36), health, reflection and the broker (R15).

use latchkey_demo_provider::Flavour;
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::topology::{self, SYNC_SVC_QUEUE};
use latchkey_proto::token::token_service_client::TokenServiceClient;
use latchkey_proto::token::{GetAccessTokenRequest, GetAccessTokenResponse};
use latchkey_testkit::{PATIENCE, TestBroker, TestCertificates};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::{
    Client, PolicyFile, Token, World, endpoint, eventually, everything, identity, tls,
};

// R36
#[tokio::test]
async fn a_caller_without_a_certificate_of_the_right_authority_is_refused() {
    let world = World::new().await;
    let replica = world.replica();
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let stranger = TestCertificates::create();
    let without = tls(&world.certificates);
    let foreign = tls(&world.certificates).identity(identity(&stranger));
    for tls in [without, foreign] {
        let channel = endpoint(replica.grpc, tls).connect_lazy();
        let answer = TokenServiceClient::new(channel)
            .get_access_token(GetAccessTokenRequest {
                account: Some(crate::support::by_id(account.id.to_string())),
                ..GetAccessTokenRequest::default()
            })
            .await;
        // With TLS 1.3 the refusal arrives after the caller's side of the handshake: how
        // it is reported depends on timing.
        let status = answer.unwrap_err();
        assert!(
            matches!(
                status.code(),
                Code::Unavailable | Code::Unknown | Code::Cancelled
            ),
            "{status:?}"
        );
        assert!(
            std::error::Error::source(&status).is_some(),
            "the service answered: {status:?}"
        );
    }
    // A connection without TLS is refused too.
    let clear = tonic::transport::Endpoint::from_shared(format!("http://{}", replica.grpc));
    let channel = clear.unwrap().connect_lazy();
    let answer = TokenServiceClient::new(channel)
        .get_access_token(GetAccessTokenRequest::default())
        .await;
    assert_ne!(answer.unwrap_err().code(), Code::InvalidArgument);
}

// R36: the caller verifies the service.
#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let world = World::new().await;
    let replica = world.replica();
    let stranger = TestCertificates::create();
    let tls = tls(&stranger).identity(identity(&world.certificates));
    assert!(endpoint(replica.grpc, tls).connect().await.is_err());
}

#[tokio::test]
async fn an_oversized_request_is_refused() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let answer = client
        .ask(GetAccessTokenRequest {
            required_scopes: vec!["x".repeat(300_000)],
            ..GetAccessTokenRequest::default()
        })
        .await;
    assert_eq!(answer.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn health_and_reflection_are_served() {
    let world = World::new().await;
    let replica = world.replica();
    let tls = tls(&world.certificates).identity(identity(&world.certificates));
    let channel = endpoint(replica.grpc, tls).connect().await.unwrap();

    let health = HealthClient::new(channel.clone())
        .check(HealthCheckRequest {
            service: "latchkey.token.v1.TokenService".to_owned(),
        })
        .await
        .unwrap();
    assert_eq!(health.into_inner().status, 1);

    let answer = reflected(&channel, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("no list of services: {answer:?}");
    };
    let mut names: Vec<&str> = list.service.iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "latchkey.token.v1.TokenService",
        ]
    );
    let file = |name: &str| MessageRequest::FileByFilename(name.to_owned());
    for name in [
        "latchkey/token/v1/token.proto",
        "google/protobuf/timestamp.proto",
    ] {
        let answer = reflected(&channel, file(name)).await;
        assert!(
            matches!(answer, MessageResponse::FileDescriptorResponse(_)),
            "{name}: {answer:?}"
        );
    }
    // What another service serves is not shown.
    for name in [
        "latchkey/account/v1/account.proto",
        "latchkey/events/v1/events.proto",
    ] {
        let answer = reflected(&channel, file(name)).await;
        assert!(
            !matches!(answer, MessageResponse::FileDescriptorResponse(_)),
            "{name}"
        );
    }
}

/// The answer of reflection, or the error in its own words.
async fn reflected(channel: &Channel, asked: MessageRequest) -> MessageResponse {
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(asked),
    };
    let answers = ServerReflectionClient::new(channel.clone())
        .server_reflection_info(tokio_stream::once(request))
        .await;
    match answers.unwrap().into_inner().message().await {
        Ok(answer) => answer.unwrap().message_response.unwrap(),
        Err(status) => MessageResponse::ErrorResponse(v1::ErrorResponse {
            error_code: status.code().into(),
            error_message: status.message().to_owned(),
        }),
    }
}

// Tools that are older than reflection v1.
#[tokio::test]
async fn reflection_is_served_in_its_older_version_too() {
    use v1alpha::server_reflection_client::ServerReflectionClient;
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;

    let world = World::new().await;
    let replica = world.replica();
    let tls = tls(&world.certificates).identity(identity(&world.certificates));
    let channel = endpoint(replica.grpc, tls).connect().await.unwrap();
    let name = "latchkey.token.v1.TokenService.WatchAccount".to_owned();
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(name)),
    };
    let answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = answers.unwrap().into_inner().message().await;
    assert!(matches!(
        answer.unwrap().unwrap().message_response,
        Some(MessageResponse::FileDescriptorResponse(_))
    ));
}

// A caller can tell a method that this version lacks from one that the policy forbids.
#[tokio::test]
async fn an_unknown_method_is_unimplemented_whatever_the_policy_says() {
    let policy = PolicyFile::new(&everything("somebody-else"));
    let world = World::new().await.with_policy(&policy);
    let replica = world.replica();
    let tls = tls(&world.certificates).identity(identity(&world.certificates));
    let channel = endpoint(replica.grpc, tls).connect().await.unwrap();
    for (path, expected) in [
        (
            "/latchkey.token.v1.TokenService/GetAccessToken",
            Code::PermissionDenied,
        ),
        (
            "/latchkey.token.v1.TokenService/Nothing",
            Code::Unimplemented,
        ),
        (
            "/latchkey.account.v1.AccountService/GetAccount",
            Code::Unimplemented,
        ),
        ("/nothing", Code::Unimplemented),
    ] {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let answer = client
            .unary(
                Request::new(GetAccessTokenRequest::default()),
                PathAndQuery::from_static(path),
                tonic_prost::ProstCodec::<_, GetAccessTokenResponse>::default(),
            )
            .await;
        assert_eq!(answer.unwrap_err().code(), expected, "{path}");
    }
}

async fn http(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = socket.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    answer
}

// R15
#[tokio::test]
async fn health_readiness_and_version_are_served_over_http() {
    let broker = TestBroker::create().await;
    let world = World::new().await.with("AMQP_URL", broker.url());
    let replica = world.replica();
    assert!(
        http(replica.health, "/healthz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        http(replica.health, "/readyz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        http(replica.health, "/version")
            .await
            .contains("refresh-svc")
    );

    // Without a broker, events wait in the outbox and tokens are served.
    let world = World::new().await;
    let replica = world.replica();
    let answer = http(replica.health, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"ready\":false"), "{answer}");
    world.cut_database_off().await;
    // An answer may be a second old.
    eventually(async || {
        let answer = http(replica.health, "/readyz").await;
        answer.starts_with("HTTP/1.1 503").then_some(())
    })
    .await;
}

// A replica that is asked to stop reports this, and serves callers that have not noticed
// yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_fails_no_call() {
    let world = World::new().await.with("SHUTDOWN_DELAY", "5s");
    let (replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let (grpc, health) = (replica.grpc, replica.health);
    client.get(account.id).await.unwrap();
    let stopping = tokio::spawn(replica.stop());
    eventually(async || {
        client.get(account.id).await.unwrap();
        let answer = http(health, "/readyz").await;
        answer.starts_with("HTTP/1.1 503").then_some(())
    })
    .await;
    let newcomer = Client::connect(grpc, &world.certificates).await;
    newcomer.get(account.id).await.unwrap();
    client.get(account.id).await.unwrap();
    stopping.await.unwrap();
}

// R34: events in the outbox reach the broker.
#[tokio::test]
async fn a_dead_grant_is_published_over_the_broker() {
    let broker = TestBroker::create().await;
    // Declares the queues as sync-svc does.
    let connection = BrokerConfig::parse(broker.url(), "test")
        .unwrap()
        .connect()
        .await
        .unwrap();
    topology::declare(&connection).await.unwrap();
    let world = World::new().await.with("AMQP_URL", broker.url());
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    world.demo.revoke("ada", None);
    assert!(client.get(account.id).await.is_err());
    crate::support::eventually(async || {
        let messages = broker.take(SYNC_SVC_QUEUE, 1).await.ok()?;
        let message = messages.into_iter().next()?;
        (message["routing_key"] == "account.reauth_required.v1").then_some(())
    })
    .await;
    // Deleted shortly after the broker has confirmed it.
    crate::support::eventually(async || {
        let waiting = world.reauth_events().await;
        waiting.is_empty().then_some(())
    })
    .await;
}
