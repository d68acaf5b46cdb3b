//! R38: the canonical forms of scopes and what they include.

use proptest::prelude::*;

use super::*;

const GOOGLE: ScopeRules = ScopeRules(&google::FACTS);
const MICROSOFT: ScopeRules = ScopeRules(&microsoft::FACTS);

fn google(short: &str) -> String {
    format!("https://www.googleapis.com/auth/{short}")
}

// R5, R32
#[test]
fn a_wider_scope_satisfies_a_narrower_one_and_never_the_other_way_round() {
    let (modify, readonly) = (google("gmail.modify"), google("gmail.readonly"));
    let cases = [
        (MICROSOFT, "Mail.ReadWrite", "Mail.Read"),
        (
            MICROSOFT,
            "https://graph.microsoft.com/mail.readwrite",
            "Mail.ReadBasic",
        ),
        (MICROSOFT, "Calendars.ReadWrite", "calendars.read"),
        (GOOGLE, "https://mail.google.com/", &readonly),
        (GOOGLE, "https://mail.google.com/", &google("gmail.send")),
        (GOOGLE, &modify, &readonly),
        (GOOGLE, &google("calendar"), &google("calendar.events")),
        (
            GOOGLE,
            &google("calendar"),
            &google("calendar.events.readonly"),
        ),
    ];
    for (rules, wide, narrow) in cases {
        assert!(rules.satisfies(wide, narrow), "{wide} gives {narrow}");
        assert!(
            !rules.satisfies(narrow, wide),
            "{narrow} does not give {wide}"
        );
        assert!(!ScopeRules::EXACT.satisfies(wide, narrow), "{wide}");
    }
}

#[test]
fn two_names_of_one_scope_are_equal() {
    let cases = [
        (
            GOOGLE,
            "openid https://www.googleapis.com/auth/userinfo.email",
            "email openid",
            "",
        ),
        (
            GOOGLE,
            "email",
            "https://www.googleapis.com/auth/userinfo.profile",
            "https://www.googleapis.com/auth/userinfo.profile",
        ),
        (
            MICROSOFT,
            "Mail.Read",
            "https://graph.microsoft.com/mail.read Mail.Send",
            "Mail.Send",
        ),
        (ScopeRules::EXACT, "Mail", "mail", "mail"),
    ];
    for (rules, granted, wanted, missing) in cases {
        let wanted = ScopeSet::parse(wanted);
        let found = rules.missing(&ScopeSet::parse(granted), &wanted);
        assert_eq!(found.join(" "), missing, "{granted}");
    }
}

// The address of another resource is part of the scope, because a token for one resource
// is not accepted by the other.
#[test]
fn scopes_of_other_resources_than_graph_are_different() {
    let outlook = "https://outlook.office.com/Mail.Read";
    for other in [
        "Mail.Read",
        "https://graph.microsoft.com.evil.example/Mail.Read",
    ] {
        assert!(!MICROSOFT.satisfies(outlook, other), "{other}");
        assert!(!MICROSOFT.satisfies(other, outlook), "{other}");
    }
    assert_eq!(
        microsoft_resource(outlook),
        Some("https://outlook.office.com")
    );
    for graph in [
        "Mail.Read",
        "https://graph.microsoft.com/Mail.Read",
        "HTTPS://Graph.Microsoft.us/Mail.Read",
        "openid",
    ] {
        assert_eq!(microsoft_resource(graph), None, "{graph}");
    }
    let spoofed = "https://evil.example/graph.microsoft.com/Mail.Read";
    assert!(!MICROSOFT.satisfies(spoofed, "Mail.Read"));
}

// R36
#[test]
fn a_limit_allows_what_its_scopes_include_and_nothing_unknown() {
    let limit = ScopeSet::parse("Mail.ReadWrite");
    let allows = |scopes: &str| MICROSOFT.allows(&limit, &ScopeSet::parse(scopes));
    assert!(allows("openid Email https://graph.microsoft.com/Mail.Read"));
    assert!(!allows("Mail.Read Files.ReadWrite.All"));
    assert!(!allows("Mail.Read something.new"));
}

#[test]
fn a_response_lists_scopes_with_spaces_or_commas() {
    let expected = Some(ScopeSet::parse("mail openid"));
    for list in [
        "openid mail",
        "openid,mail",
        "openid, mail",
        " mail openid,",
    ] {
        assert_eq!(parse_list(list), expected, "{list:?}");
    }
    for nothing in ["", " ", ","] {
        assert_eq!(parse_list(nothing), None, "{nothing:?}");
    }
}

#[test]
fn every_row_has_a_source_and_includes_something_else() {
    for rules in ScopeRules::ALL {
        for (scope, included, source) in rules.0.rows {
            assert!(source.starts_with("https://"), "{scope}");
            assert!(!included.is_empty(), "{scope}");
            for one in *included {
                assert!(
                    !rules.satisfies(one, scope),
                    "{one} and {scope} include each other"
                );
            }
        }
    }
}

#[test]
fn names_of_scopes_show_what_may_be_changed() {
    let of = |scopes: &str| WriteAccess::of(&ScopeSet::parse(scopes));
    let access = of("openid Mail.ReadWrite Calendars.Read");
    assert!(access.change_mail && !access.send_mail && !access.change_events);
    let access = of(&format!(
        "{} {}",
        google("gmail.send"),
        google("calendar.events")
    ));
    assert!(!access.change_mail && access.send_mail && access.change_events);
    let access = of(&format!("{} mail.read", google("calendar.events.readonly")));
    assert!(!access.change_mail && !access.send_mail && !access.change_events);
}

#[test]
fn the_rules_of_a_provider_are_found_by_its_name() {
    for (name, scope, canonical) in [
        (
            "google",
            "https://www.googleapis.com/auth/calendar",
            "calendar",
        ),
        ("microsoft", "Mail.Read", "mail.read"),
        ("acme", "Mail.Read", "Mail.Read"),
    ] {
        let rules = ScopeRules::of(&name.parse().unwrap());
        assert_eq!(rules.canonical(scope), canonical, "{name}");
    }
}

proptest! {
    // An unknown scope satisfies itself alone.
    #[test]
    fn unknown_scopes_are_compared_byte_by_byte(one in "x[a-z.]{1,12}", other in "y[a-z.]{1,12}") {
        for rules in ScopeRules::ALL {
            prop_assert!(rules.satisfies(&one, &one));
            prop_assert!(!rules.satisfies(&one, &other));
            prop_assert!(!rules.satisfies("Mail.ReadWrite", &other));
            prop_assert!(!rules.satisfies(&google("calendar"), &other));
        }
    }

    #[test]
    fn no_scope_panics(one in "\\PC{0,30}", other in "\\PC{0,30}") {
        for rules in ScopeRules::ALL {
            let _ = rules.satisfies(&one, &other);
        }
        let _ = microsoft_resource(&one);
    }
}
