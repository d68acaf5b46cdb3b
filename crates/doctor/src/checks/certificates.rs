//! How long certificates are valid, and whether clients accept them: those in files, and those
//! that servers present.

use futures::future::join_all;
use latchkey_config::Environment;
use latchkey_service::certificate::Validity;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use url::Url;

use crate::certificate::{Life, left};
use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::tls_peer::{self, Peer, Refusal};
use crate::world::{Mode, Source, World};

/// The authorities of the other services, for auth-svc.
const CLIENT_CA: &str = "GRPC_CLIENT_CA";

/// The variables with certificates in PEM.
const VARIABLES: [&str; 5] = [
    "GRPC_TLS_CERT",
    "GRPC_TLS_CLIENT_CA",
    "GRPC_CLIENT_CERT",
    CLIENT_CA,
    "CALLER_JWKS_CA",
];

/// The variables with the URLs of services that auth-svc calls.
const SERVICES: [&str; 2] = ["SYNC_GRPC_URL", "TOKEN_GRPC_URL"];

/// A server that presents a certificate.
struct Server {
    url: Url,
    /// Whom its clients trust, if this is known.
    authorities: Option<RootCertStore>,
    /// Where their authorities are named.
    trust: &'static str,
}

/// A certificate in a file.
struct File {
    label: String,
    certificate: Validity,
}

pub(crate) async fn check(world: &World) -> Outcome {
    let files: Vec<File> = world.sources.iter().flat_map(files).collect();
    // Before a deployment the servers have the certificates of the version that runs.
    let servers = if world.mode == Mode::BeforeDeploy {
        Vec::new()
    } else {
        servers(world)
    };
    if files.is_empty() && servers.is_empty() {
        return Err(NotLooked::NotSet("a certificate or an https:// address"));
    }
    let looks = servers
        .iter()
        .map(|server| tls_peer::look(&server.url, server.authorities.clone()));
    let peers = join_all(looks).await;
    let now = world.clock.now();
    let mut looked = Looked::default();
    for File { label, certificate } in &files {
        looked
            .seen
            .push(format!("{label}: {}", left(certificate, now)));
        looked.findings.extend(judge_life(label, certificate, now));
    }
    for (server, peer) in servers.iter().zip(peers) {
        if let Ok(peer) = &peer {
            let left = left(&peer.validity, now);
            looked.seen.push(format!("{}: {left}", server.url));
        }
        looked.findings.extend(judge(server, &peer, now));
    }
    Ok(looked)
}

fn files(source: &Source) -> Vec<File> {
    let mut found = Vec::new();
    for name in VARIABLES {
        let Ok(Some(text)) = source.environment.optional(name) else {
            continue;
        };
        // A text that is not PEM is a fault of the configuration.
        for certificate in Validity::of_pem(&text).unwrap_or_default() {
            found.push(File {
                label: format!("{name} of {}", source.name),
                certificate,
            });
        }
    }
    found
}

fn servers(world: &World) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    let mut add = |url: Option<Url>, authorities: Option<RootCertStore>, trust| {
        let Some(url) = url.filter(|url| ["https", "amqps"].contains(&url.scheme())) else {
            return;
        };
        let url = server_of(url);
        if !servers.iter().any(|known| known.url == url) {
            servers.push(Server {
                url,
                authorities,
                trust,
            });
        }
    };
    let system = system_authorities();
    let url = |source: &Source, name: &str| -> Option<Url> {
        source.environment.optional_parsed(name).ok().flatten()
    };
    add(
        world.entry_point.clone(),
        Some(system.clone()),
        "SSL_CERT_FILE",
    );
    for source in &world.sources {
        // Another address was named for it.
        if world.entry_point.is_none() {
            let public = url(source, "PUBLIC_URL");
            add(public, Some(system.clone()), "SSL_CERT_FILE");
        }
        let broker = url(source, "AMQP_URL");
        add(broker, Some(system.clone()), "SSL_CERT_FILE");
        for name in SERVICES {
            let authorities = named_authorities(&source.environment);
            add(url(source, name), authorities, CLIENT_CA);
        }
    }
    servers
}

/// Scheme, host and port alone: the rest may be a secret.
fn server_of(url: Url) -> Url {
    let mut server = url;
    // Fails for a URL without a host, which has no credentials either.
    let _ = server.set_username("");
    let _ = server.set_password(None);
    server.set_path("");
    server.set_query(None);
    server.set_fragment(None);
    server
}

/// Those that this process trusts.
fn system_authorities() -> RootCertStore {
    let mut authorities = RootCertStore::empty();
    // Without a certificate of the system every request to a provider fails, and says why.
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    authorities
}

fn named_authorities(environment: &Environment) -> Option<RootCertStore> {
    let text = environment.optional(CLIENT_CA).ok()??;
    let mut authorities = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes());
    authorities.add_parsable_certificates(certificates.filter_map(Result::ok));
    Some(authorities)
}

fn judge(server: &Server, peer: &Result<Peer, String>, now: OffsetDateTime) -> Option<Finding> {
    let label = server.url.as_str();
    match peer {
        Err(problem) => Some(Finding {
            code: "no_certificate",
            runbook: Runbook::Certificate,
            problem: format!("{label}: no certificate: {problem}"),
            looked_at: format!("{label}, by a TLS handshake"),
            remedy: "start the server, or correct the address".to_owned(),
        }),
        Ok(peer) => judge_life(label, &peer.validity, now).or_else(|| {
            let refusal = peer.refusal.as_ref()?;
            Some(refused(server, &peer.validity.subject, refusal))
        }),
    }
}

fn judge_life(label: &str, certificate: &Validity, now: OffsetDateTime) -> Option<Finding> {
    let what = match Life::of(certificate, now) {
        Life::Valid => return None,
        Life::Expired => "a certificate has expired".to_owned(),
        Life::NotYetValid => "a certificate is not valid yet".to_owned(),
        Life::ExpiresSoon => {
            format!("a certificate expires soon, {}", left(certificate, now))
        }
    };
    Some(Finding {
        code: "certificate",
        runbook: Runbook::Certificate,
        problem: format!("{what}: {label} ({})", certificate.subject),
        looked_at: label.to_owned(),
        remedy: "replace the file by a renewed certificate of the same authority; the services \
                 read it every second. If cert-manager should have done that, look at its \
                 Certificate"
            .to_owned(),
    })
}

fn refused(server: &Server, subject: &str, refusal: &Refusal) -> Finding {
    let Server { url, trust, .. } = server;
    let (fault, remedy) = match refusal {
        Refusal::UnknownAuthority => (
            "is of an authority that its clients do not trust".to_owned(),
            format!(
                "name the authority that issued it in {trust} of the clients, or give the server a \
                 certificate of an authority that they trust, with all intermediate ones"
            ),
        ),
        Refusal::OtherName => (
            "is for another name".to_owned(),
            "issue a certificate for the name in the address, or use the name of the certificate \
             in the address"
                .to_owned(),
        ),
        Refusal::Other(error) => (
            format!("is not accepted: {error}"),
            "issue a certificate for a server, of an authority that its clients trust".to_owned(),
        ),
    };
    Finding {
        code: "certificate_not_accepted",
        runbook: Runbook::Certificate,
        problem: format!("the certificate of {url} {fault} ({subject})"),
        looked_at: format!("{url}, by a TLS handshake with the authorities in {trust}"),
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_expired_certificate_is_one_finding_and_a_foreign_one_names_where_trust_is_set() {
        let server = Server {
            url: "https://sync-svc:50052".parse().unwrap(),
            authorities: None,
            trust: CLIENT_CA,
        };
        let judged = |now, refusal| {
            let validity = Validity {
                subject: "CN=sync-svc".to_owned(),
                not_before: datetime!(2026-01-01 00:00 UTC),
                not_after: datetime!(2026-03-01 00:00 UTC),
            };
            judge(&server, &Ok(Peer { validity, refusal }), now)
        };
        let (valid, after) = (
            datetime!(2026-01-02 00:00 UTC),
            datetime!(2026-04-01 00:00 UTC),
        );
        assert_eq!(judged(valid, None), None);
        let expired = judged(after, Some(Refusal::UnknownAuthority)).unwrap();
        assert_eq!(expired.code, "certificate");
        let foreign = judged(valid, Some(Refusal::UnknownAuthority)).unwrap();
        assert_eq!(foreign.code, "certificate_not_accepted");
        assert!(foreign.remedy.contains(CLIENT_CA), "{foreign:?}");
    }

    #[test]
    fn the_address_of_a_server_has_no_credentials() {
        let url = "amqps://user:s3cret@broker.example/vhost?a=b";
        let server = server_of(url.parse().unwrap());
        assert_eq!(server.as_str(), "amqps://broker.example");
    }
}
