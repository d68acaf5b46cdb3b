//! Missing variables stop the start with an error of one line for each.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::{Command, Output};

use anyhow::Context as _;
use devstack::build::binary;
use latchkey_e2e::generate_keys;
use latchkey_servers::Certificates;

/// Exit code for a wrong configuration (`EX_CONFIG`).
const WRONG_CONFIGURATION: i32 = 78;

/// The variables that a service requires, with valid values: addresses without a
/// listener, and new keys.
type Required = BTreeMap<&'static str, OsString>;

fn servers() -> Required {
    Required::from([
        ("DATABASE_URL", "postgres://a:b@127.0.0.1:1/c".into()),
        ("AMQP_URL", "amqp://a:b@127.0.0.1:1/%2f".into()),
    ])
}

fn auth_svc() -> anyhow::Result<Required> {
    let mut required = servers();
    required.extend([
        ("PUBLIC_URL", "https://auth.example.com".into()),
        ("FLOW_COOKIE_KEYS", format!("k1:{}", "A".repeat(43)).into()),
        (
            "SESSION_SIGNING_KEYS",
            generated("latchkey", "SESSION_SIGNING_KEYS")?,
        ),
        (
            "SEALING_PUBLIC_KEY",
            generated("refresh-svc", "SEALING_PUBLIC_KEY")?,
        ),
    ]);
    Ok(required)
}

/// The variables that both gRPC services require.
fn grpc(certificates: &Certificates) -> anyhow::Result<Required> {
    let certificate = certificates.server("service")?;
    let mut required = servers();
    required.extend([
        (
            "GRPC_TLS_CERT",
            std::fs::read_to_string(certificate.certificate)?.into(),
        ),
        (
            "GRPC_TLS_KEY",
            std::fs::read_to_string(certificate.key)?.into(),
        ),
        (
            "GRPC_TLS_CLIENT_CA",
            std::fs::read_to_string(certificates.authority_file())?.into(),
        ),
        ("POLICY", "any-certificate".into()),
    ]);
    Ok(required)
}

/// A key that a program generates.
fn generated(program: &str, name: &str) -> anyhow::Result<OsString> {
    let key = generate_keys(program)?.remove(name);
    let key = key.with_context(|| format!("{program} prints no {name}"))?;
    Ok(key.into())
}

fn start(service: &str, variables: &Required) -> anyhow::Result<Output> {
    let output = Command::new(binary(service)?)
        .env_clear()
        .envs(variables)
        .output()?;
    Ok(output)
}

/// The variables that the lines of the error name.
fn named<'a>(service: &str, output: &'a Output) -> anyhow::Result<BTreeSet<&'a str>> {
    assert_eq!(output.status.code(), Some(WRONG_CONFIGURATION), "{service}");
    let lines = std::str::from_utf8(&output.stderr)?.lines();
    lines
        .map(|line| {
            line.strip_prefix(service)
                .and_then(|line| line.strip_prefix(": ")?.split_once(": is missing"))
                .map(|(name, _)| name)
                .with_context(|| format!("{service} does not name the missing variable: {line}"))
        })
        .collect()
}

// R40
#[test]
fn a_missing_variable_stops_the_start_with_one_line_that_names_it() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let certificates = Certificates::create(directory.path())?;
    let mut refresh_svc = grpc(&certificates)?;
    refresh_svc.insert(
        "SEALING_PRIVATE_KEYS",
        generated("refresh-svc", "SEALING_PRIVATE_KEYS")?,
    );
    for (service, required) in [
        ("auth-svc", auth_svc()?),
        ("sync-svc", grpc(&certificates)?),
        ("refresh-svc", refresh_svc),
    ] {
        // Each missing variable is named.
        for name in required.keys() {
            let mut others = required.clone();
            others.remove(name);
            let output = start(service, &others)?;
            let expected = BTreeSet::from([*name]);
            assert_eq!(named(service, &output)?, expected, "{service}");
        }
        // All of them are named at once.
        let output = start(service, &Required::new())?;
        let all: BTreeSet<_> = required.keys().copied().collect();
        assert_eq!(named(service, &output)?, all, "{service}");
    }
    Ok(())
}
