use actix_web::cookie::SameSite;
use latchkey_domain::{Clock as _, SystemClock};
use proptest::prelude::*;

use super::*;
use crate::login::context::Context;

fn key(id: &str, byte: u8) -> String {
    format!("{id}:{}", URL_SAFE_NO_PAD.encode([byte; 32]))
}

fn keys(text: &str) -> FlowKeys {
    text.parse().unwrap()
}

fn flow() -> Flow {
    Flow::begin(
        "google".parse().unwrap(),
        None,
        Context {
            locale: Some("de".into()),
            ..Context::default()
        },
        None,
        false,
        SystemClock.now(),
        &Randomness::default(),
    )
    .unwrap()
}

fn sealed(keys: &FlowKeys, flow: &Flow) -> Cookie<'static> {
    keys.seal(flow, &Randomness::default()).unwrap()
}

// R4
#[test]
fn a_flow_comes_back_from_its_cookie() {
    let keys = keys(&key("a", 1));
    let flow = flow();
    let cookie = sealed(&keys, &flow);
    assert_eq!(
        keys.open(cookie.name(), cookie.value(), SystemClock.now()),
        Some(flow)
    );
    assert_eq!(cookie.secure(), Some(true));
    assert_eq!(cookie.http_only(), Some(true));
    assert_eq!(cookie.path(), Some("/"));
    assert_eq!(cookie.domain(), None);
    assert_eq!(cookie.same_site(), Some(SameSite::Lax));
    assert!(cookie.name().starts_with("__Host-"));
}

#[test]
fn the_cookie_shows_neither_state_nor_verifier() {
    let flow = flow();
    let cookie = sealed(&keys(&key("a", 1)), &flow).to_string();
    assert!(!cookie.contains(flow.state.expose()) && !cookie.contains(flow.verifier.expose()));
    assert!(!format!("{flow:?}").contains(flow.verifier.expose()));
}

#[test]
fn the_debug_output_of_a_flow_and_of_keys_names_them_and_contains_no_secret() {
    let mut flow = flow();
    flow.context.subdomain = Some("acme".into());
    flow.context.public_invite = Some("public invitation".into());
    flow.context.personal_invite = Some("personal invitation".into());
    let shown = format!("{flow:?}");
    for part in [flow.id.to_string().as_str(), "google", "SignIn", "acme"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for secret in [
        flow.state.expose(),
        flow.nonce.expose(),
        flow.verifier.expose(),
        "invitation",
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let keys = keys(&format!("{},{}", key("a", 1), key("b", 2)));
    assert_eq!(format!("{keys:?}"), r#"["a", "b"]"#);
}

#[test]
fn keys_rotate_the_first_seals_and_all_open() {
    let old = sealed(&keys(&key("a", 1)), &flow());
    let both = keys(&format!("{},{}", key("b", 2), key("a", 1)));
    let now = SystemClock.now();
    assert!(both.open(old.name(), old.value(), now).is_some());
    let new = sealed(&both, &flow());
    assert!(new.value().starts_with("v1.b."));
    assert!(
        keys(&key("a", 1))
            .open(new.name(), new.value(), now)
            .is_none()
    );
}

// R4
#[test]
fn a_flow_is_dead_after_ten_minutes() {
    let keys = keys(&key("a", 1));
    let cookie = sealed(&keys, &flow());
    let later = SystemClock.now() + FLOW_LIFETIME;
    assert!(keys.open(cookie.name(), cookie.value(), later).is_none());
}

#[test]
fn one_flows_cookie_does_not_stand_for_anothers() {
    let keys = keys(&key("a", 1));
    let (one, other) = (sealed(&keys, &flow()), sealed(&keys, &flow()));
    assert!(
        keys.open(one.name(), other.value(), SystemClock.now())
            .is_none()
    );
}

// R4: parallel tabs work, without growing for ever.
#[test]
fn the_oldest_flow_gives_way_to_a_fifth() {
    let keys = keys(&key("a", 1));
    let mut oldest = flow();
    oldest.expires_at -= 60;
    let mut cookies = vec![sealed(&keys, &oldest)];
    assert!(keys.to_evict(&cookies, SystemClock.now()).is_empty());
    cookies.extend((1..MAX_FLOWS).map(|_| sealed(&keys, &flow())));
    let evicted = keys.to_evict(&cookies, SystemClock.now());
    assert_eq!(evicted.len(), 1);
    assert_eq!(evicted[0].name(), name_of(&oldest.state));
}

#[test]
fn wrong_keys_are_refused() {
    let short = format!("a:{}", URL_SAFE_NO_PAD.encode([1; 16]));
    let twice = format!("{},{}", key("a", 1), key("a", 2));
    keys(&format!("{},{}", key("a-b_C1", 1), key(&"i".repeat(32), 2)));
    let long = key(&"i".repeat(33), 1);
    for wrong in [
        "",
        "a",
        "a:",
        &long,
        &short,
        &twice,
        &key("a.b", 1),
        &key("", 1),
    ] {
        assert!(wrong.parse::<FlowKeys>().is_err(), "{wrong}");
    }
}

#[test]
fn a_flow_that_no_browser_would_keep_is_not_sealed() {
    let keys = keys(&key("a", 1));
    let mut long = flow();
    long.context.locale = Some("x".repeat(1_400));
    assert!(sealed(&keys, &long).value().len() <= MAX_VALUE);
    long.context.locale = Some("x".repeat(MAX_VALUE));
    let refused = keys.seal(&long, &Randomness::default());
    assert_eq!(refused.err(), Some(SealFlowError::TooLong));
}

/// What is sealed comes back, up to the longest cookie that is set.
#[test]
fn every_flow_that_is_sealed_opens_and_the_longest_cookie_has_2800_characters() {
    let keys = keys(&key("a", 1));
    let now = SystemClock.now();
    let mut long = flow();
    let mut longest = 0;
    for length in 1_500.. {
        long.context.locale = Some("x".repeat(length));
        let Ok(cookie) = keys.seal(&long, &Randomness::default()) else {
            break;
        };
        longest = cookie.value().len();
        let opened = keys.open(cookie.name(), cookie.value(), now);
        assert_eq!(opened.as_ref(), Some(&long), "{longest}");
    }
    assert_eq!(longest, 2_800);
}

proptest! {
    // R4
    #[test]
    fn a_cookie_altered_anywhere_does_not_open(position in 0usize..2000, bit in 0u8..6) {
        let keys = keys(&key("a", 1));
        let cookie = sealed(&keys, &flow());
        let mut value = cookie.value().as_bytes().to_vec();
        let position = position % value.len();
        value[position] ^= 1 << bit;
        let value = String::from_utf8_lossy(&value).into_owned();
        prop_assert_eq!(keys.open(cookie.name(), &value, SystemClock.now()), None);
    }

    #[test]
    fn no_cookie_text_panics(text in ".{0,200}") {
        prop_assert_eq!(keys(&key("a", 1)).open("x", &text, SystemClock.now()), None);
    }
}
