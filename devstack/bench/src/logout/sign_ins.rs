//! New people who sign in at a fixed rate, through the pages and the provider as a browser does.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use devstack::browser::Browser;
use devstack::walkthrough::{Route, authorize_address_at, consent_and_return};
use latchkey_servers::print_message;
use serde_json::{Map, json};
use tokio::task::JoinSet;

use super::replicas::COOKIE_NAME;
use super::testbed::LogoutTestbed;
use crate::load::Measurement;
use crate::options::LogoutOptions;

/// The secret of a session cookie.
pub type Secret = String;

/// Signs new people in for this long. Returns the time from the moment at which each sign-in was due
/// to the answer of the callback, and the session cookies. `run` makes their names unique.
pub async fn run(
    testbed: &LogoutTestbed,
    run: &str,
    options: LogoutOptions,
    length: Duration,
) -> anyhow::Result<(Measurement, Vec<Secret>)> {
    let count = u64::from(options.sign_ins) * length.as_secs();
    let gap = Duration::from_secs(1) / options.sign_ins.max(1);
    let people = create(testbed, run, count);
    let browser = Browser::new()?;
    let mut sign_ins = JoinSet::new();
    let begun = Instant::now();
    let mut due = begun;
    for person in people {
        tokio::time::sleep_until(due.into()).await;
        let mut browser = browser.repeating();
        let at = testbed.stack.public_url().to_owned();
        let provider = testbed.stack.demo().base_url().to_owned();
        sign_ins.spawn(async move {
            let signed_in = sign_in(&mut browser, &at, &provider, &person).await;
            signed_in.map(|secret| (due.elapsed(), secret))
        });
        due += gap;
    }
    let mut measured = Measurement::empty()?;
    let mut secrets = Vec::new();
    while let Some(sign_in) = sign_ins.join_next().await {
        match sign_in? {
            Ok((took, secret)) => {
                measured.record(Some(took));
                secrets.push(secret);
            }
            Err(error) => {
                print_message(&format!("a sign-in failed: {error:#}"));
                measured.record(None);
            }
        }
    }
    measured.elapsed = begun.elapsed();
    Ok((measured, secrets))
}

async fn sign_in(
    browser: &mut Browser,
    at: &str,
    provider: &str,
    person: &str,
) -> anyhow::Result<Secret> {
    let authorize = authorize_address_at(browser, at, Route::OIDC.path).await?;
    let landing = consent_and_return(browser, authorize, provider, person, || ()).await?;
    landing.redirect_target()?;
    let secret = browser.cookie(&landing.url, COOKIE_NAME);
    Ok(secret
        .context("the sign-in set no session cookie")?
        .to_owned())
}

/// Creates people at the provider, who each have a session there.
fn create(testbed: &LogoutTestbed, run: &str, count: u64) -> Vec<String> {
    let demo = testbed.stack.demo();
    let names: Vec<String> = (0..count).map(|number| format!("{run}-{number}")).collect();
    demo.add_people(&names);
    for name in &names {
        let session = Map::from_iter([("sid".to_owned(), json!(format!("sign-in-{name}")))]);
        demo.set_claims(name, session);
    }
    names
}
