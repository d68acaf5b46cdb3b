//! People who have been at the provider, and whose browser opens the callback next.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Context as _;
use devstack::walkthrough::Route;
use futures::StreamExt as _;
use url::Url;

use super::provider::Authorization;
use super::testbed::LoginTestbed;
use crate::load::Measurement;

/// Sign-ins that begin at the same time.
const AT_ONCE: usize = 16;
/// The sign-in page.
const PAGE: &str = "/auth/sign-in";

/// A person whose browser opens the callback next.
#[derive(Debug)]
pub struct Returning {
    /// Address of the person.
    pub handle: String,
    /// URL of the callback.
    pub callback: Url,
    /// The cookies for it.
    pub cookies: String,
}

/// Begins the sign-ins of `count` people, whose addresses begin with the name of the phase: sends
/// the form of the sign-in page, and lets the provider sign its response. Returns the times of the
/// forms too.
pub async fn begin(
    testbed: &LoginTestbed,
    phase: &str,
    count: usize,
) -> anyhow::Result<(Vec<Returning>, Measurement)> {
    let at = testbed.stack.public_url();
    let action = format!("{PAGE}/{}", Route::OIDC.provider);
    let mut browser = testbed.browser.repeating();
    let fields = browser.get(format!("{at}{PAGE}")).await?.form(&action)?;
    let target = format!("{at}{action}");
    let mut measured = Measurement::empty()?;
    let begun = Instant::now();
    let mut beginnings = futures::stream::iter(0..count)
        .map(|number| begin_one(testbed, &target, &fields, format!("{phase}{number}")))
        .buffer_unordered(AT_ONCE);
    let mut people = Vec::with_capacity(count);
    while let Some(one) = beginnings.next().await {
        let (person, took) = one?;
        measured.record(Some(took));
        people.push(person);
    }
    drop(beginnings);
    measured.elapsed = begun.elapsed();
    Ok((people, measured))
}

async fn begin_one(
    testbed: &LoginTestbed,
    target: &str,
    fields: &[(String, String)],
    name: String,
) -> anyhow::Result<(Returning, std::time::Duration)> {
    let mut browser = testbed.browser.repeating();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let started = Instant::now();
    let authorize = browser.post(target, &fields).await?.refresh_target()?;
    let took = started.elapsed();
    let query: HashMap<String, String> = authorize.query_pairs().into_owned().collect();
    let parameter = |name: &str| {
        query
            .get(name)
            .with_context(|| format!("the authorization request has no {name}"))
    };
    let handle = format!("{name}@acme.example");
    let code = testbed.provider.authorize(&Authorization {
        handle: &handle,
        client_id: parameter("client_id")?,
        nonce: parameter("nonce")?,
        scope: parameter("scope")?,
    })?;
    let mut callback = Url::parse(parameter("redirect_uri")?)?;
    callback
        .query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", parameter("state")?);
    let cookies: Vec<String> = browser
        .cookie_names(&callback)
        .into_iter()
        .filter_map(|name| Some(format!("{name}={}", browser.cookie(&callback, name)?)))
        .collect();
    let person = Returning {
        handle,
        callback,
        cookies: cookies.join("; "),
    };
    Ok((person, took))
}
