//! The demo provider as a program.

use std::io::Write as _;
use std::net::SocketAddr;

use clap::Parser;
use latchkey_demo_provider::{Config, DemoProvider, Settings};

/// A demonstration identity provider that behaves like Google, Microsoft and a strict OpenID
/// provider.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address to listen on; port 0 uses a free port.
    #[arg(long, env = "DEMO_PROVIDER_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
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
    let config = Config {
        listen: arguments.listen,
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
