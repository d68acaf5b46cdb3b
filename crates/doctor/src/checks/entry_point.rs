//! What the running auth-svc does with a person who begins to sign in: `curl -v …/auth/google |
//! grep Location`, compared with the configuration.

use std::collections::BTreeMap;

use futures::future::join_all;
use latchkey_providers::{Provider, Purpose};
use url::Url;

use crate::check_id::CheckId;
use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::world::{Mode, World};

use super::versions::service_down;

/// The response of an entry point.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub url: Url,
    status: u16,
    /// Where the browser is sent.
    pub location: Option<Url>,
}

impl Start {
    /// A parameter of the authorization request.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.location.as_ref()?.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// What the authorization request must have.
struct Configured {
    provider: String,
    parameters: BTreeMap<&'static str, String>,
}

pub(crate) async fn check(world: &World) -> Outcome {
    if world.mode == Mode::BeforeDeploy {
        return Err(NotLooked::NotNow(
            "another version runs before a deployment",
        ));
    }
    let base = base(world).ok_or(NotLooked::NotSet(
        "PUBLIC_URL of auth-svc, or --entry-point",
    ))?;
    let Some((_, registry)) = world.sign_in_providers() else {
        return Err(NotLooked::Because(CheckId::Environment));
    };
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    if let Err(problem) = alive(world, &base).await {
        return Ok(Looked {
            findings: vec![service_down("auth-svc", &base, &problem)],
            ..Looked::default()
        });
    }
    let providers: Vec<_> = registry.iter().collect();
    let starts = join_all(
        providers
            .iter()
            .map(|provider| look(world, &base, provider)),
    )
    .await;
    for (provider, start) in providers.iter().zip(starts) {
        let Some(start) = start else {
            return Err(NotLooked::Failed("the response ended early".to_owned()));
        };
        let answer = start
            .location
            .as_ref()
            .map_or("no Location", |_| "Location");
        seen.push(format!("{}: {} {answer}", start.url, start.status));
        findings.extend(judge(&configured(provider), &start));
    }
    Ok(Looked {
        seen,
        findings,
        detail: None,
    })
}

/// Where auth-svc is reached as browsers reach it.
pub(crate) fn base(world: &World) -> Option<Url> {
    let public = || {
        let sources = world.sources.iter();
        let mut sources = sources.filter(|source| source.is_auth_svc());
        sources.find_map(|source| {
            let url: Option<Url> = source.environment.optional_parsed("PUBLIC_URL").ok()?;
            url
        })
    };
    world.entry_point.clone().or_else(public)
}

async fn alive(world: &World, base: &Url) -> Result<(), String> {
    let url = base.join("/healthz").map_err(|error| error.to_string())?;
    let response = world.http.get(url).send().await;
    let response = response.map_err(|error| cause(&error.without_url()))?;
    match response.status().as_u16() {
        200 => Ok(()),
        status => Err(format!("/healthz answers {status}")),
    }
}

/// The innermost error, which is that of the operating system or of TLS.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Begins a sign-in without cookies. `None` if there is no response.
pub(crate) async fn look(world: &World, base: &Url, provider: &Provider) -> Option<Start> {
    let path = if provider.is_built_in() {
        format!("/auth/{}", provider.name())
    } else {
        format!("/auth/oidc/{}", provider.name())
    };
    let mut url = base.join(&path).ok()?;
    // The parameters of the front end's link.
    url.set_query(base.query());
    let response = world.http.get(url.clone()).send().await.ok()?;
    let header = response.headers().get("location");
    let location = header
        .and_then(|value| value.to_str().ok())
        .and_then(|text| url.join(text).ok());
    Some(Start {
        status: response.status().as_u16(),
        location,
        url,
    })
}

fn configured(provider: &Provider) -> Configured {
    let redirect_uri = provider.redirect_uri(Purpose::SignIn);
    let client_id = ("client_id", provider.client_id().to_owned());
    let redirect_uri = redirect_uri.map(|uri| ("redirect_uri", uri.to_string()));
    Configured {
        provider: provider.label().to_owned(),
        parameters: std::iter::once(client_id).chain(redirect_uri).collect(),
    }
}

fn judge(configured: &Configured, start: &Start) -> Vec<Finding> {
    let (provider, url) = (&configured.provider, start.url.to_string());
    if start.parameter("client_id").is_none() {
        return vec![not_offered(provider, &url, start.status)];
    }
    let differ = configured.parameters.iter().filter_map(|(name, value)| {
        let runs = start.parameter(name).unwrap_or_default();
        (runs != *value).then(|| Finding {
            code: "other_parameter",
            runbook: Runbook::SignIn,
            problem: format!(
                "the running auth-svc sends people to {provider} with {name} {runs}, and \
                 configured is {value}"
            ),
            looked_at: format!("the Location of {url}"),
            remedy: "restart auth-svc with this environment, or run doctor with the environment \
                     of auth-svc"
                .to_owned(),
        })
    });
    differ.collect()
}

fn not_offered(provider: &str, url: &str, status: u16) -> Finding {
    Finding {
        code: "not_offered",
        runbook: Runbook::SignIn,
        problem: format!(
            "the running auth-svc does not send people to {provider}: {url} answers {status}"
        ),
        looked_at: format!("{url}, without cookies"),
        remedy: format!(
            "is {provider} switched on in the environment of the running auth-svc? Restart it \
             after a change; a proxy must pass /auth/ on"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::codes;

    #[test]
    fn the_location_has_the_configured_client_and_redirect_uri() {
        let configured = Configured {
            provider: "Google".to_owned(),
            parameters: [
                ("client_id", "a".to_owned()),
                ("redirect_uri", "https://b.example/".to_owned()),
            ]
            .into(),
        };
        let start = |status, location: Option<&str>| Start {
            url: "https://auth.example/auth/google".parse().unwrap(),
            status,
            location: location.map(|url| url.parse().unwrap()),
        };
        let right = "https://p.example/?client_id=a&redirect_uri=https%3A%2F%2Fb.example%2F";
        assert_eq!(judge(&configured, &start(302, Some(right))), []);
        let other = "https://p.example/?client_id=b&redirect_uri=https%3A%2F%2Fb.example%2F";
        let findings = judge(&configured, &start(302, Some(other)));
        assert_eq!(codes(&findings), ["other_parameter"]);
        assert!(findings[0].problem.contains("with client_id b"));
        for none in [
            start(404, None),
            start(302, Some("https://auth.example/error")),
        ] {
            assert_eq!(codes(&judge(&configured, &none)), ["not_offered"]);
        }
    }
}
