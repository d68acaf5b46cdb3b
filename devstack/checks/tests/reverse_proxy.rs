//! `docs/reverse-proxy.md` and auth-svc say the same of variables, limits and times.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;

use latchkey_checks::root;

const REQUEST_LIMITS: &str = "auth-svc/src/http/request_limits.rs";
const APP: &str = "auth-svc/src/app.rs";

/// What the document says, and the line of the source that makes it true. A proxy waits longer than
/// the longest request, and closes idle connections before auth-svc does.
const FACTS: [(&str, &str, &str); 14] = [
    (
        "at most 16 KiB, otherwise 413",
        REQUEST_LIMITS,
        "const MAX_BODY: usize = 16 * 1024;",
    ),
    (
        "client_max_body_size 16k;",
        REQUEST_LIMITS,
        "const MAX_BODY: usize = 16 * 1024;",
    ),
    (
        "max_size 16KiB",
        REQUEST_LIMITS,
        "const MAX_BODY: usize = 16 * 1024;",
    ),
    (
        "proxy-body-size: 16k",
        REQUEST_LIMITS,
        "const MAX_BODY: usize = 16 * 1024;",
    ),
    (
        "at most 24 KiB together",
        REQUEST_LIMITS,
        "const MAX_HEADERS: usize = 24 * 1024;",
    ),
    (
        "10 KiB of path and query",
        REQUEST_LIMITS,
        "const MAX_URI: usize = 10 * 1024;",
    ),
    (
        "a request ends within 60 s",
        REQUEST_LIMITS,
        "const LONG_DEADLINE: Duration = Duration::from_mins(1);",
    ),
    (
        "proxy_read_timeout 65s;",
        REQUEST_LIMITS,
        "const LONG_DEADLINE: Duration = Duration::from_mins(1);",
    ),
    (
        "response_header_timeout 65s",
        REQUEST_LIMITS,
        "const LONG_DEADLINE: Duration = Duration::from_mins(1);",
    ),
    (
        "timeout: 65s }",
        REQUEST_LIMITS,
        "const LONG_DEADLINE: Duration = Duration::from_mins(1);",
    ),
    (
        "auth-svc keeps them for 75 s",
        APP,
        "const KEEP_ALIVE: Duration = Duration::from_secs(75);",
    ),
    (
        "keepalive_timeout 60s;",
        APP,
        "const KEEP_ALIVE: Duration = Duration::from_secs(75);",
    ),
    (
        "client_header_timeout 10s;",
        APP,
        "const SLOW_CLIENT: Duration = Duration::from_secs(10);",
    ),
    (
        "`Strict-Transport-Security: max-age=31536000`",
        "auth-svc/src/http/headers.rs",
        "(\"Strict-Transport-Security\", \"max-age=31536000\")",
    ),
];

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn the_limits_of_the_examples_are_those_of_auth_svc() {
    let document = read("docs/reverse-proxy.md");
    for (said, file, because) in FACTS {
        assert!(document.contains(said), "docs/reverse-proxy.md: {said}");
        assert!(
            read(file).contains(because),
            "{file} has no `{because}` any more: correct `{said}` in docs/reverse-proxy.md"
        );
    }
}

#[test]
fn every_variable_of_the_document_is_a_variable() {
    let configuration = read("docs/configuration.md");
    let document = read("docs/reverse-proxy.md");
    let is_name = |word: &&str| {
        word.contains('_')
            && word
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let names: BTreeSet<&str> = document
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(is_name)
        // Types of clusters of Envoy.
        .filter(|name| *name != "STRICT_DNS")
        .collect();
    assert!(names.contains("TRUSTED_PROXIES"), "{names:?}");
    let unknown: Vec<_> = names
        .iter()
        .filter(|name| !configuration.contains(&format!("`{name}`")))
        .collect();
    assert!(unknown.is_empty(), "not in configuration.md: {unknown:?}");
}

#[test]
fn the_ports_that_are_not_for_the_public_are_those_of_the_configuration() {
    let configuration = read("docs/configuration.md");
    let document = read("docs/reverse-proxy.md");
    let (_, section) = document.split_once("## What must not be exposed").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let ports: Vec<&str> = configuration
        .lines()
        .filter(|row| row.starts_with("| `HEALTH_LISTEN`") || row.starts_with("| `GRPC_LISTEN`"))
        .map(|row| {
            let (_, rest) = row.split_once("`0.0.0.0:").unwrap();
            rest.split('`').next().unwrap()
        })
        .collect();
    assert_eq!(ports.len(), 5, "{ports:?}");
    for port in ports {
        assert!(section.contains(port), "{port}");
    }
}
