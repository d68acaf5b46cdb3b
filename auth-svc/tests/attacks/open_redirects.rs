//! Open redirects (RFC 9700 section 4.11): many spellings of another host, in every
//! parameter that names a return location, with and without a session.

use crate::support::{APP, PUBLIC, TestApp, assert_nothing_written};

const EVIL: &[&str] = &[
    "//evil.example",
    "///evil.example",
    "////evil.example/%2e%2e",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/%2fevil.example",
    "/%2F%2Fevil.example",
    "%2f%2fevil.example",
    "/%5cevil.example",
    "/%5C/evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/x/..//evil.example",
    "/%2e//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\u{0}//evil.example",
    " //evil.example",
    "https://evil.example",
    "HTTPS://EVIL.EXAMPLE",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:\\\\evil.example",
    "http://app.test.example/",
    "https://app.test.example:444/",
    "https://app.test.example:80/",
    "https://app.test.example@evil.example",
    "https://app.test.example:443@evil.example",
    "https://app.test.example%40evil.example",
    "https://app.test.example\\@evil.example",
    "https://app.test.example#@evil.example\\",
    "https://user@app.test.example/",
    "https://user:secret@app.test.example/",
    "https://@app.test.example/",
    "https://app.test.example.evil.example",
    "https://evil.example/https://app.test.example",
    "https://evil.example?https://app.test.example",
    "https://evil.example#https://app.test.example",
    "https://app.test.example./",
    "https://app\u{3002}test\u{3002}example/",
    "https://app\u{ff0e}test\u{ff0e}example/",
    "https://\u{ff41}pp.test.example/",
    "https://evil\u{3002}example",
    "https://xn--pp-via.test.example/",
    "https://app.test.example%2eevil.example/",
    "https://app.test.example%00.evil.example/",
    "https://[::1]/",
    "https://2130706433/",
    "https://app.test.example//evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "blob:https://app.test.example/x",
    "file:///etc/passwd",
    "ftp://app.test.example/",
    "evil.example",
    ".evil.example",
    "@evil.example",
    "?@evil.example",
];

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn open_redirect_in_every_spelling() {
    let app = TestApp::start_with(&[("RATE_LIMIT_PER_ADDRESS", "0")]).await;
    let signed_in = app.signed_in("ada").await.json();
    let own = [app.demo.base_url(), APP.trim_end_matches('/'), PUBLIC];
    assert_nothing_written(&app, async || {
        for evil in EVIL {
            for entry in [
                "/auth/google?returnTo=",
                "/auth/google?returnToPath=",
                "/auth/oidc/demo?redirectLocation=",
                "/auth/microsoft-apis?redirectLocation=",
            ] {
                for browser in [app.browser().json(), signed_in.clone()] {
                    let response = browser
                        .clone()
                        .get(&format!("{entry}{}", encoded(evil)))
                        .await;
                    if response.status == 302 {
                        let to = url::Url::parse(&response.location()).unwrap();
                        let to = to.origin().ascii_serialization();
                        panic!("{evil:?} was accepted at {entry}: to {to}; own: {own:?}");
                    }
                    let code = response.code();
                    assert!(
                        matches!(code.as_str(), "return_location_refused" | "not_signed_in"),
                        "{evil:?} at {entry}: {code}"
                    );
                }
            }
        }
    })
    .await;
}

/// The start page repeats the parameters of a link only in links to this service, which
/// checks them later.
#[tokio::test]
async fn the_start_page_escapes_foreign_urls() {
    let app = TestApp::start().await;
    for evil in [
        "\"><script>alert(1)</script>",
        "javascript:alert(1)",
        "//evil.example",
    ] {
        let page = app
            .browser()
            .get(&format!("/?returnTo={}", encoded(evil)))
            .await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("<script>alert"), "{}", page.body);
        for link in page.body.split("href=\"").skip(1) {
            let target = link.split('"').next().unwrap();
            assert!(
                target.starts_with('#')
                    || target.starts_with('/') && !target.starts_with("//")
                    || target.starts_with(APP),
                "{target}"
            );
        }
    }
}
