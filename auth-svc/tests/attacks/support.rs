//! Helpers of the attack tests: checks that an attack was refused and wrote nothing.

use std::collections::BTreeMap;

use latchkey_demo_provider::{Decision, Flavour, Misbehaviour};
use sqlx::{AssertSqlSafe, PgPool};

pub use crate::api::support::*;

/// The three kinds of provider, with the path that starts a sign-in.
pub const PROVIDERS: [(&str, Flavour); 3] = [
    ("/auth/google", Flavour::Google),
    ("/auth/microsoft", Flavour::Microsoft),
    ("/auth/oidc/demo", Flavour::Oidc),
];

/// Returns row count and digest of every table in the schemas `auth` and `vault`, without
/// the column `last_seen_at`.
async fn contents(pool: &PgPool) -> BTreeMap<String, String> {
    let tables: Vec<(String,)> = sqlx::query_as(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables
         WHERE table_schema IN ('auth', 'vault') AND table_type = 'BASE TABLE'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 8, "{tables:?}");
    let mut contents = BTreeMap::new();
    for (table,) in tables {
        let (count, digest): (i64, Option<String>) = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT count(*), md5(string_agg(row, '' ORDER BY row))
             FROM (SELECT (to_jsonb(t) - 'last_seen_at')::text AS row FROM {table} t) rows"
        )))
        .fetch_one(pool)
        .await
        .unwrap();
        contents.insert(table, format!("{count} {}", digest.unwrap_or_default()));
    }
    contents
}

/// Runs an attack and checks that it wrote nothing: users, identities, memberships,
/// sessions, used flows and events are as before.
pub async fn assert_nothing_written<T>(app: &TestApp, attack: impl AsyncFnOnce() -> T) -> T {
    let before = contents(app.database.pool()).await;
    let outcome = attack().await;
    assert_eq!(contents(app.database.pool()).await, before);
    outcome
}

/// Returns status and error code of a response, which must not set a session cookie.
pub fn refusal(response: &Response) -> (u16, String) {
    assert!(
        !response.set_cookies().iter().any(|line| {
            line.starts_with("__Host-latchkey-session=") && !line.contains("Max-Age=0")
        }),
        "a refusal sets a session cookie"
    );
    (response.status, response.code())
}

/// Checks that a sign-in at a misbehaving provider is refused with this error and writes
/// nothing.
pub async fn assert_refused(flavours: &[Flavour], how: Misbehaviour, status: u16, code: &str) {
    let app = TestApp::start().await;
    for (path, flavour) in PROVIDERS {
        if !flavours.contains(&flavour) {
            continue;
        }
        app.demo.misbehave(flavour, Some(how));
        let (given, browser) = assert_nothing_written(&app, async || {
            let mut browser = app.browser().json();
            let response = app
                .run_flow(&mut browser, path, &Decision::allow("ada"))
                .await;
            (refusal(&response), browser)
        })
        .await;
        assert_eq!(given, (status, code.to_owned()), "{path} {how:?}");
        assert!(browser.session().is_none(), "{path} {how:?}");
    }
}

/// Returns the callback with another value of a parameter.
pub fn with_parameter(callback: &str, name: &str, value: &str) -> String {
    let mut url = url::Url::parse(&format!("http://x{callback}")).unwrap();
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != name)
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(pairs)
        .append_pair(name, value);
    url[url::Position::BeforePath..].to_owned()
}

/// Returns a parameter of a callback or of an authorization request.
pub fn parameter(address: &str, name: &str) -> String {
    let base = url::Url::parse("http://x").unwrap();
    let url = base.join(address).unwrap();
    let found = url.query_pairs().find(|(key, _)| key == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {address}"))
        .1
        .into_owned()
}

/// Returns the victim's browser with the attacker's cookies added.
pub fn with_cookies_of(victim: &Browser, attacker: &Browser) -> Browser {
    let mut browser = victim.clone();
    browser.cookies.extend(attacker.cookies.clone());
    browser
}
