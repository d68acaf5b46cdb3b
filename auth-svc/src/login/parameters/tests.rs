use latchkey_domain::WorkspaceId;
use proptest::option;
use proptest::prelude::*;
use url::form_urlencoded;

use super::*;

fn policy() -> ReturnPolicy {
    ReturnPolicy::new(
        "https://app.example.com/".parse().unwrap(),
        &"https://auth.example.com".parse().unwrap(),
        Vec::new(),
        false,
    )
}

/// What a start with this one parameter carries.
fn read(parameter: &StartParameter, value: &str) -> Result<Context, ParameterError> {
    context_of(&Query::single(parameter.name, value), &policy())
}

/// What is said of a value that is not taken.
fn refusal(parameter: &StartParameter, value: &str) -> Option<ParameterError> {
    read(parameter, value).err()
}

fn locale(value: &str) -> Result<String, ParameterError> {
    read(&LOCALE, value).map(|context| context.locale.unwrap())
}

fn subdomain(value: &str) -> Result<String, ParameterError> {
    read(&WORKSPACE_SUBDOMAIN, value).map(|context| context.subdomain.unwrap())
}

fn challenge(value: &str) -> Result<String, ParameterError> {
    read(&CODE_CHALLENGE, value).map(|context| context.code_challenge.unwrap())
}

#[test]
fn an_invitation_has_up_to_200_characters_and_none_that_controls() {
    for parameter in [&PUBLIC_INVITE, &PERSONAL_INVITE] {
        let carried = |value: &str| {
            read(parameter, value).map(|context| context.public_invite.or(context.personal_invite))
        };
        let longest = "i".repeat(200);
        for sound in ["i", &longest] {
            assert_eq!(carried(sound), Ok(Some(sound.to_owned())));
        }
        for wrong in [&*"i".repeat(201), &"i".repeat(300), "a\nb", "\0", "i\u{7f}"] {
            let refused = refusal(parameter, wrong);
            assert_eq!(refused, Some(invalid(parameter, "shorter")), "{wrong:?}");
        }
    }
}

#[test]
fn a_workspaces_label_is_one_host_label_in_any_case() {
    let longest = "a".repeat(63);
    for (given, label) in [
        ("acme", "acme"),
        ("ACME", "acme"),
        ("a-1", "a-1"),
        (&longest, &longest),
    ] {
        assert_eq!(subdomain(given).as_deref(), Ok(label));
    }
    let long = "a".repeat(64);
    let rule = invalid(&WORKSPACE_SUBDOMAIN, "a host label");
    for wrong in [
        "a.b", "acme.", ".acme", "-a", "a-", "a_b", " a", "a b", "a/b", "a@b", "ä", "*", &long,
    ] {
        assert_eq!(subdomain(wrong), Err(rule.clone()), "{wrong:?}");
    }
}

#[test]
fn a_language_tag_has_up_to_35_characters_and_goes_on_with_hyphens() {
    let longest = "x".repeat(35);
    for (given, tag) in [
        ("de", "de"),
        ("zh-Hans-CN", "zh-Hans-CN"),
        ("de_AT", "de-AT"),
        ("sr_Latn-RS", "sr-Latn-RS"),
        ("x", "x"),
        (&longest, &longest),
    ] {
        assert_eq!(locale(given).as_deref(), Ok(tag));
    }
    let rule = invalid(&LOCALE, "a language tag");
    for wrong in ["de AT", "de&x=1", "dé", "d.e", "de\n", &"x".repeat(36)] {
        assert_eq!(locale(wrong), Err(rule.clone()), "{wrong:?}");
    }
}

#[test]
fn a_visibility_is_one_of_its_words_in_any_case() {
    let messages = |word: &str| read(&MESSAGE_VISIBILITY, word).map(|c| c.message_visibility);
    let calendar = |word: &str| read(&CALENDAR_VISIBILITY, word).map(|c| c.calendar_visibility);
    for word in ["METADATA", "metadata", "Metadata"] {
        assert_eq!(messages(word), Ok(Some(MessageVisibility::Metadata)));
        assert_eq!(calendar(word), Ok(Some(CalendarVisibility::Metadata)));
    }
    for word in ["SHARE_EVERYTHING", "share_everything"] {
        assert_eq!(messages(word), Ok(Some(MessageVisibility::ShareEverything)));
        assert_eq!(
            calendar(word),
            Ok(Some(CalendarVisibility::ShareEverything))
        );
    }
    assert_eq!(messages("subject"), Ok(Some(MessageVisibility::Subject)));
    // A calendar has no subject that could be shown alone.
    for wrong in ["SUBJECT", "ALL", "METADATA "] {
        assert!(calendar(wrong).is_err(), "{wrong}");
    }
    for wrong in ["ALL", "METADATA,SUBJECT"] {
        assert!(messages(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn of_a_refused_return_location_the_origin_alone_is_told() {
    let long = format!("https://{}.example/", "x".repeat(300));
    for (given, told) in [
        (
            "https://evil.example/path?secret=1#x",
            "https://evil.example",
        ),
        ("https://evil.example:444/", "https://evil.example:444"),
        ("https://user:pass@evil.example/", "https://evil.example"),
        ("//evil.example/", "none"),
        (&long, &long[..200]),
    ] {
        let refused = refusal(&RETURN_TO, given);
        let expected = ParameterError::Return(ReturnRefused, told.to_owned());
        assert_eq!(refused, Some(expected), "{given}");
    }
}

/// Characters of base64url without padding (RFC 4648 section 5).
const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn contexts() -> impl Strategy<Value = Context> {
    let texts = (
        option::of("[a-z]([a-z0-9-]{0,20}[a-z0-9])?"),
        option::of("[!-~]{1,200}"),
        option::of("[!-~]{1,200}"),
        option::of("[a-z]{1,20}\\.example"),
        option::of("[a-z.]{0,9}[a-z]@[a-z]{1,9}\\.example"),
        option::of("[A-Za-z0-9-]{1,35}"),
        option::of("[A-Za-z0-9_-]{43}"),
    );
    let choices = (
        any::<bool>(),
        option::of("/[a-z]{1,9}(\\?[a-z]=[a-z]{1,5})?"),
        option::of(prop_oneof![
            Just(MessageVisibility::Metadata),
            Just(MessageVisibility::Subject),
            Just(MessageVisibility::ShareEverything),
        ]),
        option::of(prop_oneof![
            Just(CalendarVisibility::Metadata),
            Just(CalendarVisibility::ShareEverything),
        ]),
    );
    (texts, choices).prop_map(|(texts, choices)| {
        let (subdomain, public_invite, personal_invite, hosted_domain, login_hint, locale, code) =
            texts;
        let (has_workspace, path, message_visibility, calendar_visibility) = choices;
        Context {
            workspace: has_workspace.then(WorkspaceId::generate),
            subdomain,
            public_invite,
            personal_invite,
            return_to: path.map(ReturnLocation::Path),
            hosted_domain,
            login_hint,
            locale,
            code_challenge: code,
            message_visibility,
            calendar_visibility,
        }
    })
}

proptest! {
    /// An error page leads to a start with what the flow carried.
    #[test]
    fn what_a_flow_carries_starts_the_same_once_more(context in contexts()) {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(context.parameters())
            .finish();
        let again = context_of(&Query::parse(&query).unwrap(), &policy());
        prop_assert_eq!(again, Ok(context));
    }

    #[test]
    fn a_challenge_is_43_characters_of_base64url(
        text in "[A-Za-z0-9_-]{43}",
        position in 0usize..43,
        other in "[ -~]",
        length in 1usize..100,
    ) {
        prop_assert_eq!(challenge(&text), Ok(text.clone()));
        let mut altered = text.clone();
        altered.replace_range(position..=position, &other);
        prop_assert_eq!(challenge(&altered).is_ok(), BASE64URL.contains(&other), "{}", altered);
        let resized: String = text.chars().cycle().take(length).collect();
        prop_assert_eq!(challenge(&resized).is_ok(), length == 43);
    }
}
