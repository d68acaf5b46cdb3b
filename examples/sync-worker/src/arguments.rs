//! The command line.

use std::path::PathBuf;

use clap::Parser;
use url::Url;

/// Works on the jobs of first syncs.
#[derive(Parser)]
#[command(about)]
pub(crate) struct Arguments {
    /// URL of the broker.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    pub(crate) amqp_url: String,
    /// Queue of the jobs: latchkey.jobs.messaging or latchkey.jobs.calendar.
    #[arg(long, default_value = "latchkey.jobs.messaging")]
    pub(crate) queue: String,
    /// Jobs that are worked on at the same time.
    #[arg(long, default_value_t = 8)]
    pub(crate) jobs_at_once: u16,
    /// Address of refresh-svc, <https://host:port>; repeat it for each replica.
    #[arg(long = "token-service", value_name = "URL", required = true)]
    pub(crate) token_services: Vec<String>,
    /// Address of sync-svc, <https://host:port>.
    #[arg(long, value_name = "URL")]
    pub(crate) account_service: String,
    /// Certificate of the authority of both services (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: PathBuf,
    /// Certificate of this worker (PEM), which the policies of both services name.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: PathBuf,
    /// Key of that certificate (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// What is read of a provider, such as
    /// `google=https://gmail.googleapis.com/gmail/v1/users/me/profile`; repeat it for each provider.
    #[arg(long = "api", value_name = "PROVIDER=URL", required = true, value_parser = api)]
    pub(crate) apis: Vec<(String, Url)>,
}

fn api(text: &str) -> Result<(String, Url), String> {
    let (provider, url) = text
        .split_once('=')
        .ok_or("must be the name of a provider, = and a URL")?;
    let url = Url::parse(url).map_err(|error| format!("{url} is not a URL: {error}"))?;
    Ok((provider.to_owned(), url))
}
