//! The return location of a flow: an accepted location is in the deployment, also as a browser
//! parses it.
#![no_main]

use std::sync::LazyLock;

use auth_svc::login::redirect::ReturnPolicy;
use libfuzzer_sys::fuzz_target;
use url::Url;

static APP: LazyLock<Url> =
    LazyLock::new(|| Url::parse("https://app.example.com/").expect("a URL"));

static POLICY: LazyLock<ReturnPolicy> = LazyLock::new(|| {
    let public = "https://auth.example.com".parse().expect("an origin");
    ReturnPolicy::new(APP.clone(), &public, Vec::new(), true)
});

fuzz_target!(|text: &str| {
    if let Ok(location) = POLICY.accept(text) {
        let to = POLICY.destination(Some(&location), Some("acme"));
        assert!(POLICY.trusts(&to), "{text:?} -> {to}");
        let browser = APP.join(text).expect("an accepted location is a URL");
        assert!(POLICY.trusts(&browser), "{text:?} -> {browser}");
    }
});
