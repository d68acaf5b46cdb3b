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

// R8: `//host` is not a path.
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
        "/x\\y",
        "/x\u{fffd}",
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

#[test]
fn a_location_has_up_to_1024_bytes() {
    let policy = policy(false);
    for (length, taken) in [(1024, true), (1025, false)] {
        let path = format!("/{}", "a".repeat(length - 1));
        assert_eq!(policy.accept(&path).is_ok(), taken, "{length}");
    }
}

// R8: these pages start no sign-in, everything else under /auth may.
#[test]
fn the_account_pages_and_the_page_that_asks_may_be_returned_to() {
    let policy = policy(false);
    for (path, taken) in [
        ("/auth/account", true),
        ("/auth/account/connections", true),
        ("/auth/account/sessions", true),
        ("/auth/account/members", true),
        ("/auth/review/google", true),
        ("/auth/account/other", false),
        ("/auth/review", false),
        ("/auth", false),
        ("/auth/", false),
        ("/authentic", true),
    ] {
        let url = format!("https://auth.example.com{path}");
        assert_eq!(policy.accept(&url).is_ok(), taken, "{url}");
        // On another origin the same path is the application's own.
        let url = format!("https://app.example.com{path}");
        assert!(policy.accept(&url).is_ok(), "{url}");
    }
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// A policy where `own.customer.net` is a workspace's own host, and the site of it.
fn with_custom_host(multi_workspace: bool) -> (ReturnPolicy, Site<'static>) {
    let policy = policy(multi_workspace);
    let hosts = ["own.customer.net", "rival.net"];
    let hosts = hosts.map(|host| (host.to_owned(), WorkspaceId::generate()));
    policy.custom_hosts().replace(hosts.into());
    let site = Site {
        subdomain: Some("acme"),
        custom_domain: Some("own.customer.net"),
    };
    (policy, site)
}

const OWN: &str = "https://own.customer.net";
const ACME: &str = "https://acme.app.example.com";
const OTHERS: [&str; 2] = ["https://rival.net", "https://rival.app.example.com"];
const STRANGERS: [&str; 5] = [
    "http://own.customer.net",
    "https://own.customer.net:8",
    "https://sub.own.customer.net",
    "https://x.acme.app.example.com",
    "https://evil.example",
];
const OF_THE_DEPLOYMENT: [&str; 3] = [
    "https://app.example.com",
    "https://auth.example.com",
    "https://other.example.net:8443",
];

// R8
#[test]
fn a_workspaces_hosts_are_trusted_in_multi_domain_mode_and_only_with_their_own_sessions() {
    for multi in [false, true] {
        let (policy, site) = with_custom_host(multi);
        let trusted = |origin: &str| {
            let location = ReturnLocation::Url(url(origin));
            let with = policy.trusts_with(&url(origin), site);
            assert_eq!(policy.may_hand_over(Some(&location), site), !multi || with);
            (policy.trusts(&url(origin)), with)
        };
        for origin in OF_THE_DEPLOYMENT {
            assert_eq!(trusted(origin), (true, true), "{origin}");
        }
        for origin in [OWN, ACME] {
            assert_eq!(trusted(origin), (multi, multi), "{origin}");
        }
        for origin in OTHERS {
            assert_eq!(trusted(origin), (multi, false), "{origin}");
        }
        for origin in STRANGERS {
            assert_eq!(trusted(origin), (false, false), "{origin}");
        }
        assert!(policy.may_hand_over(None, site));
        let path = policy.accept("/x").unwrap();
        assert!(policy.may_hand_over(Some(&path), site));
    }
}

// R8
#[test]
fn people_go_home_to_the_workspaces_own_host_and_never_to_anothers() {
    let (policy, site) = with_custom_host(true);
    let to = |origin: Option<&str>| {
        let location = origin.map(|origin| ReturnLocation::Url(url(origin)));
        policy.destination(location.as_ref(), site).to_string()
    };
    let home = format!("{OWN}/");
    assert_eq!(to(None), home);
    for own in [OWN, ACME, OF_THE_DEPLOYMENT[2]] {
        assert_eq!(to(Some(own)), format!("{own}/"));
    }
    for other in OTHERS.into_iter().chain(STRANGERS) {
        assert_eq!(to(Some(other)), home, "{other}");
    }
    let (single, site) = with_custom_host(false);
    assert_eq!(
        single.destination(None, site).as_str(),
        "https://app.example.com/"
    );
    // A path that a browser would take for a host stays at home.
    let path = ReturnLocation::Path("//evil.example/".to_owned());
    assert_eq!(policy.destination(Some(&path), site).as_str(), home);
}

#[test]
fn a_challenge_comes_from_the_page_that_is_returned_to() {
    for multi in [false, true] {
        let (policy, _) = with_custom_host(multi);
        let may = |location: Option<&ReturnLocation>, origin: &str| {
            policy.may_challenge(location, &url(origin))
        };
        let path = ReturnLocation::Path("/x".to_owned());
        for location in [None, Some(&path)] {
            assert!(may(location, OF_THE_DEPLOYMENT[0]));
            for origin in [OWN, ACME] {
                assert_eq!(may(location, origin), multi, "{origin}");
            }
            for origin in STRANGERS.into_iter().chain([OF_THE_DEPLOYMENT[2]]) {
                assert!(!may(location, origin), "{origin}");
            }
        }
        let there = ReturnLocation::Url(url("https://other.example.net:8443/x"));
        assert!(may(Some(&there), OF_THE_DEPLOYMENT[2]));
        assert!(!may(Some(&there), OF_THE_DEPLOYMENT[0]));
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
