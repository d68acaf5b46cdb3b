use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().copied().collect()
}

#[test]
fn a_missing_variable_is_named_with_what_to_set() {
    let error = environment(&[])
        .required("AUTH_GOOGLE_CLIENT_ID", "the client id")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "AUTH_GOOGLE_CLIENT_ID: is missing: set it to the client id"
    );
}

#[test]
fn a_secret_comes_from_a_file_without_its_line_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n").unwrap();
    let path = file.path().to_str().unwrap();
    let read = environment(&[("KEY_FILE", path)]).optional("KEY").unwrap();
    assert_eq!(read.as_deref(), Some("s3cret"));
}

#[test]
fn a_value_is_trimmed_wherever_it_comes_from() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), " s3cret\r\n").unwrap();
    let path = file.path().to_str().unwrap();
    for pair in [
        ("KEY", "s3cret\r\n"),
        ("KEY", " s3cret "),
        ("KEY_FILE", path),
    ] {
        let read = environment(&[pair]).optional("KEY").unwrap();
        assert_eq!(read.as_deref(), Some("s3cret"), "{pair:?}");
    }
    assert_eq!(environment(&[("KEY", " \n")]).optional("KEY"), Ok(None));
    let spaced = environment(&[("PORT", "8080 ")]).number("PORT", 1, 1..=9000);
    assert_eq!(spaced, Ok(8080));
}

#[test]
fn quotes_around_a_value_are_named_and_those_within_are_not() {
    for quoted in ["\"s3cret\"", "'s3cret'", "\"\""] {
        let error = environment(&[("KEY", quoted)]).optional("KEY").unwrap_err();
        assert!(error.to_string().contains("quotes"), "{error}");
        assert!(!error.to_string().contains("s3cret"));
    }
    for fine in ["it's", "\"a\" b", "'"] {
        assert_eq!(
            environment(&[("KEY", fine)])
                .optional("KEY")
                .unwrap()
                .as_deref(),
            Some(fine)
        );
    }
}

#[test]
fn the_error_about_a_wrong_address_shows_a_right_one() {
    let default = ([0, 0, 0, 0], 8080).into();
    for wrong in ["8080", ":8080", "localhost:8080", "0.0.0.0"] {
        let error = environment(&[("HTTP_LISTEN", wrong)])
            .listen("HTTP_LISTEN", default)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "HTTP_LISTEN: must be an IP address and a port, such as 0.0.0.0:8080, \
             127.0.0.1:8080 or [::]:8080"
        );
    }
    assert_eq!(environment(&[]).listen("HTTP_LISTEN", default), Ok(default));
}

#[test]
fn a_value_and_a_file_contradict_each_other() {
    let error = environment(&[("KEY", "a"), ("KEY_FILE", "/b")])
        .optional("KEY")
        .unwrap_err();
    assert!(error.to_string().contains("keep one"));
}

#[test]
fn a_number_or_a_duration_out_of_bounds_is_told_its_bounds_and_an_example() {
    for wrong in ["0", "1001", "-1", "16.5", "many", "99999999999999999999"] {
        let error = environment(&[("CONNECTIONS", wrong)])
            .number("CONNECTIONS", 16, 1..=1000)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "CONNECTIONS: must be a whole number from 1 to 1000, such as 16"
        );
    }
    let bounds = Duration::from_millis(100)..=Duration::from_hours(1);
    for wrong in ["0s", "2h", "30", "soon"] {
        let error = environment(&[("EVERY", wrong)])
            .duration("EVERY", Duration::from_secs(30), bounds.clone())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "EVERY: must be a length of time from 100ms to 1h, such as 30s"
        );
    }
    let least = environment(&[("EVERY", "100ms")]).duration("EVERY", Duration::ZERO, bounds);
    assert_eq!(least, Ok(Duration::from_millis(100)));
}

#[test]
fn an_error_never_shows_the_value() {
    // A secret in the variable of its file is such a value, too.
    let set = environment(&[("KEY", "s3cret"), ("URL_FILE", "s3cret")]);
    for error in [
        set.number("KEY", 1, 1..=2).unwrap_err(),
        set.duration("KEY", Duration::ZERO, Duration::ZERO..=Duration::ZERO)
            .unwrap_err(),
        set.flag("KEY", true).unwrap_err(),
        set.parsed::<u16>("KEY", 1).unwrap_err(),
        set.listen("KEY", ([0, 0, 0, 0], 1).into()).unwrap_err(),
        set.server_url("KEY", &["amqp"], "amqp://host").unwrap_err(),
        set.optional("URL").unwrap_err(),
    ] {
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn an_empty_file_is_named_and_not_the_value() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let error = environment(&[("KEY_FILE", path)])
        .required("KEY", "a key")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "KEY_FILE: is the path of an empty file: write KEY into it"
    );
}

#[test]
fn misspelt_names_and_levels_are_noticed_once_everything_was_read() {
    let environment = environment(&[
        ("DATABSE_URL", "postgres://host"),
        ("DATABASE_UR", ""),
        ("RUST_LOG", "inof"),
        ("PATH", "/usr/bin"),
    ]);
    assert!(environment.warnings().is_empty());
    assert!(environment.required("DATABASE_URL", "a URL").is_err());
    // The record is shared with clones.
    assert!(environment.clone().optional("RUST_LOG").is_ok());
    let warnings = environment.warnings();
    let names: Vec<_> = warnings.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["DATABSE_URL", "RUST_LOG"]);
}

#[test]
fn a_noted_warning_is_given_once() {
    let environment = environment(&[("KEY", "k1:x")]);
    for _ in 0..2 {
        environment.clone().warn("KEY", "has another id");
    }
    let warnings = environment.warnings();
    let lines: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["KEY: has another id"]);
}

#[test]
fn a_variable_that_a_library_reads_has_no_file() {
    let environment = environment(&[("NO_PROXY", ".svc"), ("HTTPS_PROXY_FILE", "/run/proxy")]);
    let read = environment.read_by_library("NO_PROXY").unwrap();
    assert_eq!(read.as_deref(), Some(".svc"));
    let error = environment.read_by_library("HTTPS_PROXY").unwrap_err();
    assert_eq!(
        error.to_string(),
        "HTTPS_PROXY_FILE: is not read: set HTTPS_PROXY itself"
    );
}

#[test]
fn a_provider_name_is_read_between_prefix_and_suffix() {
    let environment = environment(&[
        ("AUTH_OIDC_ACME_ISSUER", "x"),
        ("AUTH_OIDC_BIG_CO_ISSUER_FILE", "y"),
        ("AUTH_OIDC_ISSUER", "z"),
    ]);
    assert_eq!(
        environment.between("AUTH_OIDC_", "_ISSUER"),
        ["ACME", "BIG_CO"]
    );
}
