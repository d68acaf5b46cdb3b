//! The flow cookie: only values that were sealed can be opened, and no value causes a panic.
#![no_main]

use std::sync::LazyLock;

use auth_svc::flow_keys::FlowKeys;
use auth_svc::login::context::Context;
use auth_svc::login::flow::Flow;
use auth_svc::random::Randomness;
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;

static KEYS: LazyLock<FlowKeys> = LazyLock::new(|| {
    "test:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
        .parse()
        .expect("a key")
});

/// A valid cookie, from which the mutations start.
static SEALED: LazyLock<(String, String)> = LazyLock::new(|| {
    let random = Randomness::default();
    let provider = "google".parse().expect("a name");
    let now = OffsetDateTime::UNIX_EPOCH;
    let flow = Flow::begin(provider, None, Context::default(), None, false, now, &random);
    let cookie = KEYS.seal(&flow.expect("a flow"), &random).expect("a cookie");
    (cookie.name().to_owned(), cookie.value().to_owned())
});

fuzz_target!(|input: (String, Vec<(u16, u8)>)| {
    let now = OffsetDateTime::UNIX_EPOCH;
    let (text, changes) = input;
    let (name, value) = &*SEALED;
    assert!(KEYS.open(name, &text, now).is_none() || text == *value);
    let mut changed = value.clone().into_bytes();
    for (place, byte) in changes {
        let place = usize::from(place) % changed.len();
        changed[place] = byte;
    }
    if let Ok(changed) = String::from_utf8(changed) {
        let opened = KEYS.open(name, &changed, now);
        assert_eq!(opened.is_some(), changed == *value);
    }
});
