//! How long certificates are valid: those in files, and those that servers present.

use futures::future::join_all;
use latchkey_config::Environment;
use latchkey_service::certificate::Validity;
use time::OffsetDateTime;
use url::Url;

use crate::certificate::{Life, left};
use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::tls_peer::certificate_of;
use crate::world::{Mode, World};

/// The variables with certificates in PEM.
const VARIABLES: [&str; 5] = [
    "GRPC_TLS_CERT",
    "GRPC_TLS_CLIENT_CA",
    "GRPC_CLIENT_CERT",
    "GRPC_CLIENT_CA",
    "CALLER_JWKS_CA",
];

/// The variables with the URLs of servers of this deployment.
const SERVERS: [&str; 3] = ["PUBLIC_URL", "SYNC_GRPC_URL", "TOKEN_GRPC_URL"];

struct Seen {
    label: String,
    certificate: Result<Validity, String>,
}

pub(crate) async fn check(world: &World) -> Outcome {
    let mut seen: Vec<Seen> = Vec::new();
    for source in &world.sources {
        seen.extend(files(&source.name, &source.environment));
    }
    // Before a deployment the servers have the certificates of the version that runs.
    if world.mode != Mode::BeforeDeploy {
        seen.extend(join_all(servers(world).iter().map(look)).await);
    }
    if seen.is_empty() {
        return Err(NotLooked::NotSet("a certificate or an https:// address"));
    }
    let now = world.clock.now();
    let lines = seen.iter().filter_map(|seen| {
        let certificate = seen.certificate.as_ref().ok()?;
        Some(format!("{}: {}", seen.label, left(certificate, now)))
    });
    Ok(Looked {
        seen: lines.collect(),
        findings: seen.iter().filter_map(|seen| judge(seen, now)).collect(),
        detail: None,
    })
}

fn files(source: &str, environment: &Environment) -> Vec<Seen> {
    let mut seen = Vec::new();
    for name in VARIABLES {
        let Ok(Some(text)) = environment.optional(name) else {
            continue;
        };
        // A text that is not PEM is a fault of the configuration.
        for certificate in Validity::of_pem(&text).unwrap_or_default() {
            seen.push(Seen {
                label: format!("{name} of {source}"),
                certificate: Ok(certificate),
            });
        }
    }
    seen
}

fn servers(world: &World) -> Vec<Url> {
    let mut urls: Vec<Url> = world.entry_point.iter().cloned().collect();
    for source in &world.sources {
        let named = SERVERS.into_iter().filter(|name| {
            // Another address was named for it.
            *name != "PUBLIC_URL" || world.entry_point.is_none()
        });
        urls.extend(named.filter_map(|name| {
            let url: Option<Url> = source.environment.optional_parsed(name).ok()?;
            url
        }));
    }
    urls.retain(|url| url.scheme() == "https");
    urls.sort();
    urls.dedup();
    urls
}

async fn look(url: &Url) -> Seen {
    Seen {
        label: url.to_string(),
        certificate: certificate_of(url).await,
    }
}

fn judge(seen: &Seen, now: OffsetDateTime) -> Option<Finding> {
    let label = seen.label.clone();
    match &seen.certificate {
        Err(problem) => Some(Finding::NoCertificate {
            label,
            problem: problem.clone(),
        }),
        Ok(certificate) => {
            let life = Life::of(certificate, now);
            (life != Life::Valid).then(|| Finding::Certificate {
                label,
                subject: certificate.subject.clone(),
                life,
                left: left(certificate, now),
            })
        }
    }
}
