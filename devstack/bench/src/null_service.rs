//! The null service: it has the same method, response size, TLS and HTTP/2 limits as
//! refresh-svc and does no work. The cost of a token is the difference between the two.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use latchkey_proto::token::token_service_server::{TokenService, TokenServiceServer};
use latchkey_proto::token::{
    AccessToken, GetAccessTokenRequest, GetAccessTokenResponse, RefreshAccessTokenRequest,
    RefreshAccessTokenResponse, RevokeAccountRequest, RevokeAccountResponse,
};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tracing::subscriber::NoSubscriber;

use crate::testbed::{SCOPES, token_text};

/// Command-line arguments of the child process.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// Address on which it listens.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Path of its certificate.
    #[arg(long)]
    pub certificate: PathBuf,
    /// Path of the certificate's key.
    #[arg(long)]
    pub key: PathBuf,
    /// Path of the certificate of the callers' authority.
    #[arg(long)]
    pub client_ca: PathBuf,
}

struct Null(AccessToken);

/// Serves until it is killed.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    // Without any subscriber, each span of the libraries would be written as a line for the crate `log`.
    tracing::subscriber::set_global_default(NoSubscriber::default())?;
    let token = AccessToken {
        access_token: token_text(0),
        token_type: "Bearer".to_owned(),
        expires_at: Some(prost_types::Timestamp {
            seconds: 1_800_000_000,
            nanos: 0,
        }),
        granted_scopes: SCOPES.map(str::to_owned).to_vec(),
        account_id: uuid::Uuid::now_v7().to_string(),
        version: 1,
        ..AccessToken::default()
    };
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(
            read(&settings.certificate)?,
            read(&settings.key)?,
        ))
        .client_ca_root(Certificate::from_pem(read(&settings.client_ca)?));
    let incoming = TcpIncoming::bind(settings.listen)?.with_nodelay(Some(true));
    // The same settings as in refresh-svc/src/grpc.rs.
    Server::builder()
        .tls_config(tls)?
        .max_concurrent_streams(1024)
        .http2_max_header_list_size(16 * 1024)
        .max_connection_age(Duration::from_mins(30))
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(TokenServiceServer::new(Null(token)).max_decoding_message_size(16 * 1024))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[tonic::async_trait]
impl TokenService for Null {
    async fn get_access_token(
        &self,
        _: Request<GetAccessTokenRequest>,
    ) -> Result<Response<GetAccessTokenResponse>, Status> {
        Ok(Response::new(GetAccessTokenResponse {
            token: Some(self.0.clone()),
        }))
    }

    async fn refresh_access_token(
        &self,
        _: Request<RefreshAccessTokenRequest>,
    ) -> Result<Response<RefreshAccessTokenResponse>, Status> {
        Err(Status::unimplemented(
            "the null service only implements GetAccessToken",
        ))
    }

    async fn revoke_account(
        &self,
        _: Request<RevokeAccountRequest>,
    ) -> Result<Response<RevokeAccountResponse>, Status> {
        Err(Status::unimplemented(
            "the null service only implements GetAccessToken",
        ))
    }
}
