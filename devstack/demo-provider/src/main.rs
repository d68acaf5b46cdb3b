//! The demo provider as a program.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use latchkey_demo_provider::{Config, DemoProvider, Settings, TlsFiles};
use url::Url;

/// A demonstration identity provider that behaves like Google, Microsoft and a strict OpenID
/// provider.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address to listen on; port 0 uses a free port.
    #[arg(long, env = "DEMO_PROVIDER_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address by which browsers and services reach the provider, such as
    /// `https://demo-provider:8443`; without it, the address to listen on.
    #[arg(long, env = "DEMO_PROVIDER_PUBLIC_URL")]
    public_url: Option<Url>,
    /// Certificate for TLS, then its issuers (PEM); without it, the provider serves plain HTTP.
    #[arg(long, env = "DEMO_PROVIDER_TLS_CERT_FILE", requires = "tls_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, env = "DEMO_PROVIDER_TLS_KEY_FILE", requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,
    /// Client id.
    #[arg(long, env = "DEMO_PROVIDER_CLIENT_ID", default_value = "demo-client")]
    client_id: String,
    /// Client secret.
    #[arg(
        long,
        env = "DEMO_PROVIDER_CLIENT_SECRET",
        default_value = "demo-secret",
        hide_env_values = true
    )]
    client_secret: String,
    /// Lifetime of access tokens in seconds.
    #[arg(
        long,
        env = "DEMO_PROVIDER_ACCESS_TOKEN_LIFETIME",
        default_value_t = 3600
    )]
    access_token_lifetime: u64,
    /// A redirect URI to accept; without this option any is accepted.
    #[arg(long = "redirect-uri")]
    redirect_uris: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let tls = arguments
        .tls_cert_file
        .zip(arguments.tls_key_file)
        .map(|(certificate, key)| TlsFiles { certificate, key });
    let config = Config {
        listen: arguments.listen,
        public_url: arguments.public_url,
        tls,
        client_id: arguments.client_id,
        client_secret: arguments.client_secret,
        redirect_uris: arguments.redirect_uris,
        settings: Settings {
            access_token_lifetime_s: arguments.access_token_lifetime,
            ..Settings::default()
        },
        ..Config::default()
    };
    let demo = DemoProvider::start(config).await?;
    announce(&demo);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Prints the line for which a calling program waits.
fn announce(demo: &DemoProvider) {
    let _ = writeln!(std::io::stdout(), "demo provider: {}", demo.base_url());
}
