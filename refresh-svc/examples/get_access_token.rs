//! Requests an access token from refresh-svc, as a calling service does.
//!
//! While the development stack is running (`cargo dev up`), `cargo dev status --json`
//! prints its addresses and certificates:
//!
//! ```sh
//! cargo run -p refresh-svc --example get_access_token -- \
//!     --endpoint https://127.0.0.1:50051 \
//!     --ca ca.pem --cert client.pem --key client.key \
//!     --account 018f6b1e-…
//! ```
//!
//! Instead of `--account`, the account may be identified by its handle:
//! `--workspace 018f6b1e-… --provider google --handle ada@acme.example`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use latchkey_proto::token::{AccountHandle, AccountSelector, GetAccessTokenRequest};
use time::OffsetDateTime;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic_types::StatusExt as _;

#[derive(Parser)]
#[command(about = "Asks refresh-svc for an access token")]
struct Arguments {
    /// Address of refresh-svc's gRPC server.
    #[arg(
        long,
        env = "LATCHKEY_TOKEN_ENDPOINT",
        default_value = "https://127.0.0.1:50051"
    )]
    endpoint: String,
    /// Name in refresh-svc's certificate.
    #[arg(long, env = "LATCHKEY_TOKEN_SERVER_NAME", default_value = "localhost")]
    server_name: String,
    /// CA certificate of refresh-svc's certificate (PEM).
    #[arg(long, env = "LATCHKEY_TOKEN_CA")]
    ca: PathBuf,
    /// Certificate of the calling service (PEM).
    #[arg(long, env = "LATCHKEY_TOKEN_CERT")]
    cert: PathBuf,
    /// Private key of the calling service (PEM).
    #[arg(long, env = "LATCHKEY_TOKEN_KEY")]
    key: PathBuf,
    /// Connected account (UUID).
    #[arg(long, conflicts_with_all = ["workspace", "handle"], required_unless_present = "handle")]
    account: Option<String>,
    /// Workspace (UUID) of the account.
    #[arg(long, requires = "handle")]
    workspace: Option<String>,
    /// Provider of the account.
    #[arg(long, default_value = "google")]
    provider: String,
    /// Mailbox address of the account.
    #[arg(long, requires = "workspace")]
    handle: Option<String>,
    /// Minimum remaining life in seconds.
    #[arg(long, default_value_t = 60)]
    min_remaining: i64,
    /// A scope that the token must have; may be repeated.
    #[arg(long)]
    scope: Vec<String>,
    /// Print the token itself instead of its length.
    #[arg(long)]
    show_token: bool,
}

impl Arguments {
    fn selector(&self) -> Selector {
        match &self.account {
            Some(account) => Selector::AccountId(account.clone()),
            None => Selector::Handle(AccountHandle {
                workspace_id: self.workspace.clone().unwrap_or_default(),
                provider: self.provider.clone(),
                handle: self.handle.clone().unwrap_or_default(),
            }),
        }
    }

    async fn client(&self) -> anyhow::Result<TokenServiceClient<tonic::transport::Channel>> {
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        // Mutual TLS: both sides present a certificate.
        let tls = ClientTlsConfig::new()
            .domain_name(&self.server_name)
            .ca_certificate(Certificate::from_pem(read(&self.ca)?))
            .identity(Identity::from_pem(read(&self.cert)?, read(&self.key)?));
        // Keep the channel: one serves all calls of a process.
        let channel = Endpoint::from_shared(self.endpoint.clone())?
            .tls_config(tls)?
            .connect_timeout(Duration::from_secs(5))
            .connect()
            .await
            .with_context(|| format!("cannot reach {}", self.endpoint))?;
        Ok(TokenServiceClient::new(channel))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut client = arguments.client().await?;
    let mut request = tonic::Request::new(GetAccessTokenRequest {
        account: Some(AccountSelector {
            selector: Some(arguments.selector()),
        }),
        min_remaining: Some(prost_types::Duration {
            seconds: arguments.min_remaining,
            nanos: 0,
        }),
        required_scopes: arguments.scope.clone(),
    });
    // A refresh continues even after its caller has given up.
    request.set_timeout(Duration::from_secs(20));

    let answer = match client.get_access_token(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            explain(&status);
            return Ok(ExitCode::FAILURE);
        }
    };
    let token = answer.token.context("the answer contains no token")?;
    let expires_at = token
        .expires_at
        .and_then(|at| OffsetDateTime::from_unix_timestamp(at.seconds).ok())
        .context("the answer has no expiry")?;
    println!("account      {}", token.account_id);
    println!("version      {}", token.version);
    println!("expires at   {expires_at}");
    println!("scopes       {}", token.granted_scopes.join(" "));
    if arguments.show_token {
        println!("{} {}", token.token_type, token.access_token);
    } else {
        println!(
            "token        {}, {} characters (--show-token prints it)",
            token.token_type,
            token.access_token.len()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what a program would evaluate: the reason, and when to retry.
fn explain(status: &tonic::Status) {
    println!("{:?}: {}", status.code(), status.message());
    let details = status.get_error_details();
    if let Some(info) = details.error_info() {
        println!("reason       {}", info.reason);
    }
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        println!("ask again in {} s", delay.as_secs());
    }
}
