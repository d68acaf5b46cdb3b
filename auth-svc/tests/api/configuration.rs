use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use latchkey_opening::OpeningKey;

use crate::support::{latchkey, variables};

fn complete() -> BTreeMap<String, String> {
    let key = OpeningKey::generate().unwrap();
    let mut complete = variables(
        "postgres://nobody@127.0.0.1:1/none",
        &key.sealing_key().to_string(),
    );
    for (name, value) in [
        ("AUTH_GOOGLE_ENABLED", "true"),
        ("AUTH_GOOGLE_CLIENT_ID", "the-client"),
        ("AUTH_GOOGLE_CLIENT_SECRET", "the-secret"),
        ("AUTH_MICROSOFT_ENABLED", "true"),
        ("AUTH_MICROSOFT_CLIENT_ID", "the-client"),
        ("AUTH_MICROSOFT_CLIENT_SECRET", "the-secret"),
        ("AUTH_OIDC_ACME_ISSUER", "https://id.acme.example"),
        ("AUTH_OIDC_ACME_CLIENT_ID", "acme-client"),
        ("AUTH_OIDC_ACME_CLIENT_SECRET", "acme-secret"),
        ("IS_BILLING_ENABLED", "true"),
    ] {
        complete.insert(name.to_owned(), value.to_owned());
    }
    complete
}

/// Runs the binary and returns its exit code, standard output and standard error. A
/// process that keeps running is killed after a minute.
fn run(arguments: &[&str], variables: &BTreeMap<String, String>) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_auth-svc"))
        .args(arguments)
        .env_clear()
        .envs(variables)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..1200 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

// R35, R40: keys of before the ids were derived stay valid.
#[test]
fn a_sealing_key_whose_id_is_not_derived_from_it_is_warned_of_and_not_refused() {
    let mut variables = complete();
    let check = ["config", "check"];
    let (code, _, problems) = run(&check, &variables);
    assert_eq!((code, problems.as_str()), (0, ""));
    let key = variables.get_mut("SEALING_PUBLIC_KEY").unwrap();
    *key = format!("k1:{}", key.split_once(':').unwrap().1);
    let (code, _, problems) = run(&check, &variables);
    assert_eq!(code, 0, "{problems}");
    let warning = "auth-svc: warning: SEALING_PUBLIC_KEY: key k1 has another id than k";
    assert!(problems.starts_with(warning), "{problems}");
}

// R40
#[test]
fn a_missing_or_wrong_variable_stops_the_start_with_one_line_that_names_it() {
    for (name, value) in [
        ("PUBLIC_URL", None),
        ("PUBLIC_URL", Some("https://auth.example.com/path")),
        ("PUBLIC_URL", Some("http://auth.example.com")),
        ("APP_URL", Some("javascript:alert(1)")),
        ("APP_URL", Some("http://app.example.com")),
        ("DATABASE_URL", None),
        ("DATABASE_URL", Some("mysql://x:s3cret@y")),
        ("AMQP_URL", None),
        ("SESSION_SIGNING_KEYS", None),
        ("SESSION_SIGNING_KEYS", Some("a:s3cret")),
        ("ACCESS_TOKEN_EXPIRES_IN", Some("1d")),
        ("REFRESH_TOKEN_EXPIRES_IN", Some("0s")),
        ("SESSION_IDLE_EXPIRES_IN", Some("1m")),
        ("TOKEN_PAIR_COOKIE_ENABLED", Some("perhaps")),
        ("FLOW_COOKIE_KEYS", None),
        ("FLOW_COOKIE_KEYS", Some("a:s3cret")),
        ("SEALING_PUBLIC_KEY", None),
        ("SEALING_PUBLIC_KEY", Some("s3cret")),
        ("ALLOWED_RETURN_ORIGINS", Some("*")),
        ("ALLOWED_RETURN_ORIGINS", Some("*.example.com")),
        ("ALLOWED_RETURN_ORIGINS", Some("https://*.example.com")),
        (
            "ALLOWED_RETURN_ORIGINS",
            Some("https://a.example,http://app.example.com"),
        ),
        ("AUTH_ALLOWED_DOMAINS", Some("*.example.com")),
        ("IS_MULTIWORKSPACE_ENABLED", Some("perhaps")),
        ("IS_BILLING_ENABLED", Some("perhaps")),
        ("SESSION_EXPIRES_IN", Some("0s")),
        ("HTTP_LISTEN", Some("everywhere")),
        ("AUTH_GOOGLE_CLIENT_ID", None),
        ("AUTH_GOOGLE_CLIENT_SECRET", None),
        ("AUTH_OIDC_ACME_CLIENT_ID", None),
    ] {
        let mut variables = complete();
        match value {
            Some(value) => variables.insert(name.to_owned(), value.to_owned()),
            None => variables.remove(name),
        };
        for arguments in [&["server"][..], &["config", "check"]] {
            let (code, _, error) = run(arguments, &variables);
            assert_eq!(code, 78, "{name} {value:?}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            assert!(
                error.starts_with(&format!("auth-svc: {name}: ")),
                "{name} {value:?}: {error}"
            );
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}

// R40
#[test]
fn all_faults_are_reported_at_once_by_the_check_and_by_a_start() {
    let mut variables = complete();
    for (name, value) in [
        ("PUBLIC_URL", "s3cret"),
        ("SESSION_EXPIRES_IN", "forever"),
        ("DATABASE_MAX_CONNECTIONS", "0"),
        ("AUTH_GOOGLE_AUTO_CONNECT", "perhaps"),
        ("AUTH_OIDC_ACME_ROTATION", "sometimes"),
        ("LOG_FORMAT", "xml"),
        ("AUTH_GOGLE_CLIENT_ID", "s3cret"),
        ("RUST_LOG", "inof"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    let (code, _, error) = run(&["config", "check"], &variables);
    let (code_of_start, _, error_of_start) = run(&["server"], &variables);
    assert_eq!((code, code_of_start), (78, 78), "{error_of_start}");
    assert_eq!(error, error_of_start);
    let names: Vec<_> = error
        .lines()
        .map(|line| line.strip_prefix("auth-svc: ").unwrap())
        .map(|line| line.strip_prefix("warning: ").unwrap_or(line))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "LOG_FORMAT",
            "PUBLIC_URL",
            "SESSION_EXPIRES_IN",
            "AUTH_OIDC_ACME_ROTATION",
            "AUTH_GOOGLE_AUTO_CONNECT",
            "DATABASE_MAX_CONNECTIONS",
            "AUTH_GOGLE_CLIENT_ID",
            "RUST_LOG",
        ],
        "{error}"
    );
    assert!(error.contains("did you mean AUTH_GOOGLE_CLIENT_ID?"));
    assert!(!error.contains("s3cret"), "{error}");
}

// R40
#[test]
fn a_misspelt_name_alone_is_a_warning() {
    let mut variables = complete();
    variables.insert("AUTH_GOGLE_LABEL".to_owned(), "Google".to_owned());
    let (code, _, error) = run(&["config", "check"], &variables);
    assert_eq!(code, 0);
    assert_eq!(
        error.trim(),
        "auth-svc: warning: AUTH_GOGLE_LABEL: is not read: did you mean AUTH_GOOGLE_LABEL?"
    );
}

// R7 R40
#[test]
fn several_workspaces_need_the_domains_that_each_provider_may_vouch_for() {
    let mut variables = complete();
    for (name, value) in [
        ("IS_MULTIWORKSPACE_ENABLED", "true"),
        ("APP_URL", "https://app.example.com"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    for arguments in [&["server"][..], &["config", "check"]] {
        let (code, _, error) = run(arguments, &variables);
        assert_eq!(code, 78, "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(
            error.starts_with("auth-svc: AUTH_OIDC_ACME_EMAIL_DOMAINS: "),
            "{error}"
        );
    }
    variables.insert(
        "AUTH_OIDC_ACME_EMAIL_DOMAINS".to_owned(),
        "acme.example".to_owned(),
    );
    let (code, _, error) = run(&["config", "check"], &variables);
    assert_eq!(code, 0, "{error}");
    variables.remove("AUTH_OIDC_ACME_EMAIL_DOMAINS");
    variables.insert("IS_MULTIWORKSPACE_ENABLED".to_owned(), "false".to_owned());
    let (code, _, error) = run(&["config", "check"], &variables);
    assert_eq!(code, 0, "{error}");
}

// R40
#[test]
fn a_complete_configuration_passes_the_check() {
    let (code, response, error) = run(&["config", "check"], &complete());
    assert_eq!(
        (code, response.trim()),
        (0, "the configuration is complete"),
        "{error}"
    );
}

/// The variables of a provider are in the document with `<P>`, or with `<NAME>` if only OpenID
/// providers have them.
// R40
#[test]
fn every_variable_that_is_read_is_in_the_document() {
    let document = include_str!("../../../docs/configuration.md");
    let documented: BTreeSet<&str> = document.split('`').collect();
    let is_documented = |name: &str| {
        // Some are read from a file only.
        documented.contains(name) || documented.contains(format!("{name}_FILE").as_str())
    };
    let (code, names, error) = run(&["config", "list"], &complete());
    assert_eq!(code, 0, "{error}");
    let names: Vec<&str> = names.lines().collect();
    for switch in [
        "SIGN_OUT",
        "TOKEN_AUTH_METHOD",
        "PRIVATE_KEY",
        "ACR_VALUES",
        "MAX_AGE",
    ] {
        let name = format!("AUTH_OIDC_ACME_{switch}");
        assert!(
            names.contains(&name.as_str()),
            "{name} is not read: {names:?}"
        );
    }
    let missing: Vec<&&str> = names
        .iter()
        .filter(|name| {
            let general = |prefix: &str, general: &str| {
                let rest = name.strip_prefix(prefix);
                rest.is_some_and(|rest| is_documented(&format!("{general}{rest}")))
            };
            !(is_documented(name)
                || general("AUTH_GOOGLE_", "AUTH_<P>_")
                || general("AUTH_MICROSOFT_", "AUTH_<P>_")
                || general("AUTH_OIDC_ACME_", "AUTH_<P>_")
                || general("AUTH_OIDC_ACME_", "AUTH_OIDC_<NAME>_"))
        })
        .collect();
    assert!(missing.is_empty(), "not in configuration.md: {missing:?}");
}

// R40
#[test]
fn a_secret_comes_from_a_file() {
    let file = std::env::temp_dir().join(format!("latchkey-{}", std::process::id()));
    std::fs::write(&file, "the-secret\n").unwrap();
    let mut variables = complete();
    variables.remove("AUTH_GOOGLE_CLIENT_SECRET");
    variables.insert(
        "AUTH_GOOGLE_CLIENT_SECRET_FILE".to_owned(),
        file.display().to_string(),
    );
    let (code, _, error) = run(&["config", "check"], &variables);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(code, 0, "{error}");
}

// R14
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_signing_key_is_accepted_as_printed() {
    for algorithm in ["eddsa", "es256"] {
        let arguments = ["keys", "generate", "--algorithm", algorithm];
        let (succeeded, response) = latchkey(&arguments, &[]);
        assert!(succeeded, "{response}");
        let line = response.lines().last().unwrap();
        let (name, value) = line.split_once('=').unwrap();
        let mut variables = complete();
        variables.insert(name.to_owned(), value.to_owned());
        let (code, _, error) = run(&["config", "check"], &variables);
        assert_eq!((name, code), ("SESSION_SIGNING_KEYS", 0), "{error}");
    }
}

// R41
#[tokio::test(flavor = "multi_thread")]
async fn the_redirect_uris_to_register_are_printed() {
    let mut variables = complete();
    variables.insert("AUTH_OIDC_ACME_SIGN_OUT".to_owned(), "provider".to_owned());
    let variables: Vec<(&str, String)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let (succeeded, response) = latchkey(&["redirect-uris"], &variables);
    assert!(succeeded, "{response}");
    for line in [
        "https://auth.test.example/auth/google/redirect",
        "https://auth.test.example/auth/google-apis/get-access-token",
        "https://auth.test.example/auth/oidc/acme/redirect",
        "https://auth.test.example/auth/oidc-apis/acme/get-access-token",
        "https://auth.test.example/auth/oidc/acme/signed-out",
        "https://auth.test.example",
    ] {
        assert!(
            response.lines().any(|printed| printed.trim() == line),
            "{line}\n{response}"
        );
    }
}

#[test]
fn a_command_that_moved_says_what_to_type() {
    for (arguments, typed) in [
        (
            &["workspace", "approve-domain", "acme.co", "--force"][..],
            "latchkey workspace",
        ),
        (&["keys", "generate"], "latchkey keys"),
        (&["redirect-uris"], "latchkey redirect-uris"),
    ] {
        let (code, response, error) = run(arguments, &BTreeMap::new());
        assert_eq!((code, response.as_str()), (2, ""), "{error}");
        assert!(
            error.contains(typed) && error.lines().count() == 1,
            "{error}"
        );
    }
}
