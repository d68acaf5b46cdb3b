//! The rules for return locations: where a browser may be sent after a sign-in (R8).
//!
//! A return location is a path of the app, or a URL on a configured origin, compared as
//! browsers parse it. The header `Host` is not used.

pub mod custom_hosts;
mod site;

use std::fmt;

use latchkey_config::WebOrigin;
use latchkey_domain::WorkspaceId;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

pub use custom_hosts::CustomHosts;
pub use site::Site;

/// Maximum length of a return location, because it is kept in a cookie.
const MAX_LENGTH: usize = 1024;

/// The return location is outside the deployment, or leads back into the sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the return location is outside this deployment")]
pub struct ReturnRefused;

/// A return location that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnLocation {
    /// Path, query and fragment on the host of the app or of the workspace.
    #[serde(rename = "p")]
    Path(String),
    /// A URL on an allowed origin.
    #[serde(rename = "u")]
    Url(Url),
}

/// The allowed return locations.
#[derive(Debug, Clone)]
pub struct ReturnPolicy {
    app: Url,
    public: WebOrigin,
    origins: Vec<WebOrigin>,
    multi_workspace: bool,
    custom: CustomHosts,
}

impl fmt::Display for ReturnLocation {
    /// Formats the location as the parameter has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::Url(url) => f.write_str(url.as_str()),
        }
    }
}

impl ReturnPolicy {
    /// Allows the app, this service and `others`; in multi-domain mode also the hosts of
    /// the workspaces.
    pub fn new(
        app: Url,
        public: &WebOrigin,
        others: Vec<WebOrigin>,
        multi_workspace: bool,
    ) -> Self {
        let mut origins = others;
        origins.extend(WebOrigin::of(&app));
        origins.push(public.clone());
        Self {
            app,
            public: public.clone(),
            origins,
            multi_workspace,
            custom: CustomHosts::default(),
        }
    }

    /// Returns the URL of the app.
    pub fn app(&self) -> &Url {
        &self.app
    }

    /// Returns the URLs of this deployment.
    pub fn own_urls(&self) -> impl Iterator<Item = &Url> {
        self.origins.iter().map(WebOrigin::url)
    }

    /// Returns the custom hosts of the workspaces.
    pub fn custom_hosts(&self) -> &CustomHosts {
        &self.custom
    }

    /// Returns `true` if `origin` belongs to this deployment.
    pub fn trusts(&self, origin: &Url) -> bool {
        self.origins.iter().any(|allowed| allowed.holds(origin))
            || (self.multi_workspace
                && (self.workspace_of(origin).is_some() || self.custom_owner(origin).is_some()))
    }

    /// Returns `true` if a page of `origin` may use a session of the workspace at this
    /// site. The host of another workspace may not.
    pub fn trusts_with<'a>(&self, origin: &Url, site: impl Into<Site<'a>>) -> bool {
        if self.origins.iter().any(|allowed| allowed.holds(origin)) {
            return true;
        }
        let site = site.into();
        self.multi_workspace
            && match self.workspace_of(origin) {
                Some(label) => Some(label) == site.subdomain,
                None => {
                    self.custom_owner(origin).is_some() && origin.host_str() == site.custom_domain
                }
            }
    }

    /// Checks a return location of a request.
    ///
    /// # Errors
    /// Returns an error if it leads outside the deployment in any spelling, or back into
    /// the sign-in.
    pub fn accept(&self, text: &str) -> Result<ReturnLocation, ReturnRefused> {
        let suspicious =
            |c: char| c.is_control() || c.is_whitespace() || c == '\\' || c == '\u{fffd}';
        if text.is_empty() || text.len() > MAX_LENGTH || text.contains(suspicious) {
            return Err(ReturnRefused);
        }
        if text.starts_with('/') {
            return self.accept_path(text);
        }
        let url = Url::parse(text).map_err(|_| ReturnRefused)?;
        let authority = text
            .split_once("://")
            .and_then(|(_, rest)| rest.split(['/', '?', '#']).next())
            .ok_or(ReturnRefused)?;
        let sound = matches!(url.scheme(), "http" | "https")
            && authority.is_ascii()
            && !authority.contains(['@', '%'])
            && !looks_like_a_host(url.path())
            && self.trusts(&url)
            && !self.is_sign_in(&url);
        if sound {
            Ok(ReturnLocation::Url(url))
        } else {
            Err(ReturnRefused)
        }
    }

    fn accept_path(&self, text: &str) -> Result<ReturnLocation, ReturnRefused> {
        if looks_like_a_host(text) {
            return Err(ReturnRefused);
        }
        let url = self.app.join(text).map_err(|_| ReturnRefused)?;
        let sound = url.origin() == self.app.origin()
            && !looks_like_a_host(url.path())
            && !self.is_sign_in(&url);
        if sound {
            // Uses the parser's form: dots are resolved and special characters are encoded.
            Ok(ReturnLocation::Path(
                url[url::Position::BeforePath..].to_owned(),
            ))
        } else {
            Err(ReturnRefused)
        }
    }

    /// Returns `true` if the location would start another sign-in. The account pages and
    /// the review page do not.
    fn is_sign_in(&self, url: &Url) -> bool {
        let path = url.path();
        self.public.holds(url)
            && (path == "/auth" || path.starts_with("/auth/"))
            && !matches!(
                path,
                "/auth/account"
                    | "/auth/account/connections"
                    | "/auth/account/sessions"
                    | "/auth/account/members"
            )
            && !path.starts_with("/auth/review/")
    }

    /// Returns `true` if a session at this site may be handed over to the requested
    /// location. If not, the person goes to the app without a hand-over, because whoever
    /// asked may have chosen the code challenge.
    pub fn may_hand_over<'a>(
        &self,
        location: Option<&ReturnLocation>,
        site: impl Into<Site<'a>>,
    ) -> bool {
        match location {
            Some(ReturnLocation::Url(url)) => !self.multi_workspace || self.trusts_with(url, site),
            Some(ReturnLocation::Path(_)) | None => true,
        }
    }

    /// Returns `true` if a page of `origin` may set the code challenge for the location: it
    /// is the page that fetches the session.
    pub fn may_challenge(&self, location: Option<&ReturnLocation>, origin: &Url) -> bool {
        match location {
            Some(ReturnLocation::Url(url)) => url.origin() == origin.origin(),
            Some(ReturnLocation::Path(_)) | None => {
                origin.origin() == self.app.origin()
                    || (self.multi_workspace
                        && (self.workspace_of(origin).is_some()
                            || self.custom_owner(origin).is_some()))
            }
        }
    }

    /// Returns where to go after a sign-in: the checked location, or the app; in
    /// multi-domain mode on the host of the workspace.
    pub fn destination<'a>(
        &self,
        location: Option<&ReturnLocation>,
        site: impl Into<Site<'a>>,
    ) -> Url {
        let site = site.into();
        let home = self.home(site);
        match location {
            None => home,
            Some(ReturnLocation::Path(path)) => match home.join(path) {
                Ok(url) if url.origin() == home.origin() => url,
                _ => home,
            },
            // The host of another workspace than the one of the session, or a host that was
            // removed while the person was at the provider.
            Some(ReturnLocation::Url(url))
                if self.multi_workspace && !self.trusts_with(url, site) =>
            {
                home
            }
            Some(ReturnLocation::Url(url)) => url.clone(),
        }
    }

    fn home(&self, site: Site<'_>) -> Url {
        let mut url = self.app.clone();
        let host = match (site.custom_domain, site.subdomain, self.app.host()) {
            _ if !self.multi_workspace => return url,
            (Some(own), ..) => own.to_owned(),
            (None, Some(label), Some(Host::Domain(app))) => format!("{label}.{app}"),
            _ => return url,
        };
        match url.set_host(Some(&host)) {
            Ok(()) => url,
            Err(_) => self.app.clone(),
        }
    }

    /// Returns the workspace whose custom host the URL has, with the scheme and port of the
    /// app.
    pub fn custom_owner(&self, url: &Url) -> Option<WorkspaceId> {
        match url.host() {
            Some(Host::Domain(host)) if self.like_app(url) => self.custom.owner(host),
            _ => None,
        }
    }

    fn like_app(&self, url: &Url) -> bool {
        url.scheme() == self.app.scheme()
            && url.port_or_known_default() == self.app.port_or_known_default()
    }

    /// Returns `acme` for a URL on `acme.<app host>` with the scheme and port of the app.
    pub fn workspace_of<'a>(&self, url: &'a Url) -> Option<&'a str> {
        let Some(Host::Domain(app_host)) = self.app.host() else {
            return None;
        };
        let Some(Host::Domain(host)) = url.host().filter(|_| self.like_app(url)) else {
            return None;
        };
        let label = host.strip_suffix(app_host)?.strip_suffix('.')?;
        (!label.is_empty() && !label.contains('.')).then_some(label)
    }
}

/// Returns `true` for `//host` and its encoded spellings, which some software reads as a
/// host.
fn looks_like_a_host(path: &str) -> bool {
    let start = path.get(..4).unwrap_or(path).to_ascii_lowercase();
    start.starts_with("//") || start.starts_with("/%2f") || start.starts_with("/%5c")
}

#[cfg(test)]
mod tests;
