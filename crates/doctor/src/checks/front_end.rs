//! Whether the front end can take a session over: where people arrive after a sign-in, and whether
//! its scripts can read the cookie `tokenPair`.

use url::Url;

use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::world::{Mode, Source, World};

const TOKEN_PAIR: &str = "TOKEN_PAIR_COOKIE_ENABLED";

/// What auth-svc is configured to do after a sign-in.
#[derive(Debug, Clone)]
struct Configured {
    public: Url,
    app: Url,
    multi_workspace: bool,
    token_pair: bool,
}

impl Configured {
    /// `None` if the source has no usable `PUBLIC_URL`. Other wrong values are faults of the
    /// configuration.
    fn of(source: &Source) -> Option<Self> {
        let url = |name| -> Option<Url> { source.environment.optional_parsed(name).ok().flatten() };
        let flag = |name| source.environment.flag(name, false).unwrap_or(false);
        let public = url("PUBLIC_URL")?;
        Some(Self {
            app: url("APP_URL").unwrap_or_else(|| public.clone()),
            public,
            multi_workspace: flag("IS_MULTIWORKSPACE_ENABLED"),
            token_pair: flag(TOKEN_PAIR),
        })
    }

    /// Pages on the host of `PUBLIC_URL` alone see the cookie, which has no `Domain`.
    fn hides_token_pair(&self) -> bool {
        self.token_pair && (self.multi_workspace || self.app.host() != self.public.host())
    }

    fn line(&self) -> String {
        let Self { app, .. } = self;
        if self.multi_workspace {
            format!("several workspaces: people arrive at a host under {app}")
        } else {
            format!("one domain: people arrive at {app}")
        }
    }
}

pub(crate) async fn check(world: &World) -> Outcome {
    let sources = world.sources.iter();
    let mut sources = sources.filter(|source| source.is_auth_svc());
    let Some(configured) = sources.find_map(Configured::of) else {
        return Err(NotLooked::NotSet("PUBLIC_URL of auth-svc"));
    };
    let mut seen = vec![configured.line()];
    let mut status = None;
    // Each workspace has a page of its own otherwise.
    if world.mode != Mode::BeforeDeploy && !configured.multi_workspace {
        match world.http.get(configured.app.clone()).send().await {
            Ok(response) => {
                let code = response.status().as_u16();
                seen.push(format!("{}: status {code}", configured.app));
                status = Some(code);
            }
            // Browsers may reach what this machine does not.
            Err(_) => seen.push(format!("{}: not reached from here", configured.app)),
        }
    }
    if configured.token_pair && !configured.hides_token_pair() {
        seen.push("tokenPair: pages of the front end can read it".to_owned());
    }
    Ok(Looked {
        seen,
        findings: judge(&configured, status),
        detail: None,
    })
}

fn judge(configured: &Configured, status: Option<u16>) -> Vec<Finding> {
    let page = status
        .filter(|status| is_broken(*status))
        .map(|status| broken_page(&configured.app, status));
    let cookie = configured
        .hides_token_pair()
        .then(|| hidden_cookie(configured));
    cookie.into_iter().chain(page).collect()
}

/// A front end may ask a visitor to sign in.
fn is_broken(status: u16) -> bool {
    status >= 400 && ![401, 403].contains(&status)
}

fn broken_page(app: &Url, status: u16) -> Finding {
    Finding {
        code: "front_end",
        runbook: Runbook::FrontEnd,
        problem: format!("people arrive at {app} after a sign-in, which answers {status}"),
        looked_at: "APP_URL of auth-svc, by a request without cookies".to_owned(),
        remedy: "correct APP_URL of auth-svc and restart it, or start the front end".to_owned(),
    }
}

fn hidden_cookie(configured: &Configured) -> Finding {
    let Configured { public, app, .. } = configured;
    Finding {
        code: "token_pair_hidden",
        runbook: Runbook::FrontEnd,
        problem: format!(
            "the front end at {app} cannot read the cookie tokenPair, which only pages on the host \
             of {public} see"
        ),
        looked_at: format!("{TOKEN_PAIR}, APP_URL and PUBLIC_URL of auth-svc"),
        remedy: format!(
            "serve the front end on the host of PUBLIC_URL, or unset {TOKEN_PAIR} and let the \
             front end redeem the one-time code (docs/session-js.md)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::codes;

    fn configured(public: &str, app: &str) -> Configured {
        Configured {
            public: public.parse().unwrap(),
            app: app.parse().unwrap(),
            multi_workspace: false,
            token_pair: true,
        }
    }

    #[test]
    fn pages_on_another_host_do_not_see_the_cookie_and_another_port_does_not_matter() {
        let same = configured("https://crm.example", "https://crm.example:8443/app");
        assert_eq!(judge(&same, Some(200)), []);
        let other = configured("https://auth.crm.example", "https://crm.example");
        assert_eq!(codes(&judge(&other, None)), ["token_pair_hidden"]);
        let off = Configured {
            token_pair: false,
            ..other
        };
        assert_eq!(judge(&off, None), []);
        let several = Configured {
            multi_workspace: true,
            ..same
        };
        assert_eq!(codes(&judge(&several, None)), ["token_pair_hidden"]);
    }

    #[test]
    fn a_page_that_is_missing_is_a_finding_and_one_that_wants_a_sign_in_is_not() {
        let own = configured("https://crm.example", "https://crm.example");
        for status in [200, 302, 401, 403] {
            assert_eq!(judge(&own, Some(status)), [], "{status}");
        }
        for status in [404, 502] {
            assert_eq!(codes(&judge(&own, Some(status))), ["front_end"], "{status}");
        }
    }
}
