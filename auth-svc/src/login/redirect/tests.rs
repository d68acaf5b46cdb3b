use proptest::prelude::*;

use super::*;

fn policy(multi_workspace: bool) -> ReturnPolicy {
    ReturnPolicy::new(
        "https://app.example.com/".parse().unwrap(),
        &"https://auth.example.com".parse().unwrap(),
        vec!["https://other.example.net:8443".parse().unwrap()],
        multi_workspace,
    )
}

// R8
#[test]
fn paths_of_the_app_and_configured_origins_are_accepted() {
    let policy = policy(false);
    for (given, expected) in [
        ("/", "https://app.example.com/"),
        (
            "/objects/people?view=1#x",
            "https://app.example.com/objects/people?view=1#x",
        ),
        ("https://app.example.com/a", "https://app.example.com/a"),
        (
            "https://other.example.net:8443/b",
            "https://other.example.net:8443/b",
        ),
        ("https://auth.example.com/", "https://auth.example.com/"),
    ] {
        let location = policy.accept(given).unwrap();
        assert_eq!(policy.destination(Some(&location), None).as_str(), expected);
    }
}

// R8, replaced system's weak point 11: `//host` passed there.
#[test]
fn every_spelling_of_another_host_is_refused() {
    for evil in [
        "//evil.com",
        "///evil.com",
        "/\\evil.com",
        "\\\\evil.com",
        "/%2fevil.com",
        "/%2F/evil.com",
        "/%5cevil.com",
        "/.//evil.com",
        "/x/..//evil.com",
        "https://evil.com",
        "https:evil.com",
        "https:///evil.com",
        "https:\\\\evil.com",
        "http://app.example.com/",
        "https://app.example.com:444/",
        "https://app.example.com@evil.com/",
        "https://user@app.example.com/",
        "https://@app.example.com/",
        "https://app.example.com.evil.com/",
        "https://app.example.com./",
        "https://xapp.example.com/",
        "https://sub.app.example.com/",
        "https://app.example.com%2eevil.com/",
        "https://other.example.net/",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://app.example.com/",
        "evil.com",
        "",
        " /x",
        "/x y",
        "/\tx",
        "/\n/evil.com",
        "https://app.example.com//evil.com",
        "https://ap\u{ff50}.example.com/",
    ] {
        assert_eq!(policy(false).accept(evil), Err(ReturnRefused), "{evil:?}");
    }
}

// R8
#[test]
fn the_way_back_never_starts_another_round() {
    let own = ReturnPolicy::new(
        "https://auth.example.com/".parse().unwrap(),
        &"https://auth.example.com".parse().unwrap(),
        Vec::new(),
        false,
    );
    for round in [
        "/auth/google",
        "/auth",
        "/x/../auth/google",
        "https://auth.example.com/auth/me",
    ] {
        assert_eq!(own.accept(round), Err(ReturnRefused), "{round}");
    }
    assert!(own.accept("/authors").is_ok());
}

// R8
#[test]
fn in_multi_domain_mode_people_land_on_their_workspaces_own_host() {
    let policy = policy(true);
    let path = policy.accept("/inbox").unwrap();
    assert_eq!(
        policy.destination(None, Some("acme")).as_str(),
        "https://acme.app.example.com/"
    );
    assert_eq!(
        policy.destination(Some(&path), Some("acme")).as_str(),
        "https://acme.app.example.com/inbox"
    );
    let own = policy.accept("https://acme.app.example.com/x").unwrap();
    assert_eq!(
        policy.destination(Some(&own), Some("acme")).as_str(),
        "https://acme.app.example.com/x"
    );
    assert_eq!(
        policy.destination(Some(&own), Some("rival")).as_str(),
        "https://rival.app.example.com/"
    );
    for other in [
        "https://a.b.app.example.com/",
        "https://acme.app.example.com:8/",
        "http://acme.app.example.com/",
    ] {
        assert_eq!(policy.accept(other), Err(ReturnRefused), "{other}");
    }
}

fn spelling() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("https://".to_owned()),
        Just("http:".to_owned()),
        Just("//".to_owned()),
        Just("/".to_owned()),
        Just("\\".to_owned()),
        Just("@".to_owned()),
        Just("evil.com".to_owned()),
        Just("app.example.com".to_owned()),
        Just("acme.app.example.com".to_owned()),
        Just(":8443".to_owned()),
        Just("%2f".to_owned()),
        Just("%5C".to_owned()),
        Just("..".to_owned()),
        Just("?".to_owned()),
        Just("#".to_owned()),
        Just("\t".to_owned()),
        Just("other.example.net".to_owned()),
        ".{0,3}",
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    // R8
    #[test]
    fn whatever_is_accepted_stays_in_the_deployment(text in spelling(), multi in any::<bool>()) {
        let policy = policy(multi);
        if let Ok(location) = policy.accept(&text) {
            let url = policy.destination(Some(&location), Some("acme"));
            let allowed = ["https://app.example.com", "https://auth.example.com",
                "https://other.example.net:8443", "https://acme.app.example.com"];
            prop_assert!(allowed.contains(&url.origin().ascii_serialization().as_str()), "{} -> {}", text, url);
            prop_assert!(url.username().is_empty() && url.password().is_none());
            // As a browser resolves what it was given, it goes nowhere else either.
            let browser = Url::parse("https://app.example.com/").unwrap().join(&text).unwrap();
            prop_assert!(policy.trusts(&browser), "{} -> {}", text, browser);
        }
    }
}
